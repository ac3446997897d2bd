"""Defences: training and wrappers that are meant to make a classifier robust, one file a paper.

A wrapper is a model that attacks take: it has ``logits(x)`` and gradients. One with ``randomised = True`` draws fresh
noise at every call.
"""

from advcore.defenses.adversarial_training import adversarial_training
from advcore.defenses.distillation import Distilled, at_temperature, distillation, vanished_gradients
from advcore.defenses.noise_training import noise_training
from advcore.defenses.randomised_smoothing import Certificates, RandomisedSmoothing
from advcore.defenses.rejection import Rejecting, RejectionCurve, noise_images, rejection_curve, with_noise_class
from advcore.defenses.self_ensemble import SelfEnsemble, Vote
from advcore.defenses.squeezers import BitDepth, MedianFilter, NonLocalMeans
from advcore.defenses.squeezing import Squeezed
from advcore.defenses.virtual_adversarial_training import virtual_adversarial_training

__all__ = [
    "BitDepth",
    "Certificates",
    "Distilled",
    "MedianFilter",
    "NonLocalMeans",
    "RandomisedSmoothing",
    "Rejecting",
    "RejectionCurve",
    "SelfEnsemble",
    "Squeezed",
    "Vote",
    "adversarial_training",
    "at_temperature",
    "distillation",
    "noise_images",
    "noise_training",
    "rejection_curve",
    "vanished_gradients",
    "virtual_adversarial_training",
    "with_noise_class",
]
