"""Attacks: search for inputs close to the given ones that a model gets wrong.

An attack is a function ``attack(model, x, y, *, ...) -> AttackResult``. A model is anything with ``logits(x)``; with
``vjp(x, cotangent)`` too it is white-box; torch modules and plain callables are taken as well. ``y`` are the true
labels, always; ``targets`` makes an attack targeted. No attack certifies itself: its examples are projected into the
box and the budget, and judged by asking the model afresh. A sample's result does not depend on its batch, as long as
the model's answers do not.
"""

from advcore.attacks._monitor import Progress
from advcore.attacks._options import Options
from advcore.attacks._registry import available
from advcore.attacks.apgd import apgd
from advcore.attacks.autoattack import autoattack
from advcore.attacks.backward_pass import backward_pass
from advcore.attacks.bim import bim
from advcore.attacks.boundary import boundary
from advcore.attacks.carlini_wagner import carlini_wagner
from advcore.attacks.ddn import ddn
from advcore.attacks.deepfool import deepfool
from advcore.attacks.expectation import expectation
from advcore.attacks.fab import fab
from advcore.attacks.fgm import fgm
from advcore.attacks.fgsm import fgsm
from advcore.attacks.fmn import fmn
from advcore.attacks.gaussian_noise import gaussian_noise
from advcore.attacks.hinge_min_norm import hinge_min_norm
from advcore.attacks.hop_skip_jump import hop_skip_jump
from advcore.attacks.joint import joint
from advcore.attacks.jsma import jsma
from advcore.attacks.nes import nes
from advcore.attacks.pgd import pgd
from advcore.attacks.result import AttackResult
from advcore.attacks.retrying import retrying
from advcore.attacks.simba import simba
from advcore.attacks.spsa import spsa
from advcore.attacks.square import square
from advcore.attacks.step_audit import StepAudit, audit_step
from advcore.attacks.substitute import substitute
from advcore.attacks.uniform_noise import uniform_noise
from advcore.attacks.zoo import zoo

__all__ = [
    "AttackResult",
    "Options",
    "Progress",
    "StepAudit",
    "apgd",
    "audit_step",
    "autoattack",
    "available",
    "backward_pass",
    "bim",
    "boundary",
    "carlini_wagner",
    "ddn",
    "deepfool",
    "expectation",
    "fab",
    "fgm",
    "fgsm",
    "fmn",
    "gaussian_noise",
    "hinge_min_norm",
    "hop_skip_jump",
    "joint",
    "jsma",
    "nes",
    "pgd",
    "retrying",
    "simba",
    "spsa",
    "square",
    "substitute",
    "uniform_noise",
    "zoo",
]
