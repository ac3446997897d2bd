"""Detectors: tell adversarial inputs from clean and noisy ones.

A detector has scikit-learn's interface: ``fit(X, y)`` on labelled inputs (1: adversarial, 0: not), ``score_samples``
(the larger, the more suspicious), ``decision_function`` (positive: taken for adversarial) and ``predict`` (0 or 1).
``advcore.evaluation.evaluate_detector`` tells what it is worth, against attacks that know it too.
"""

from advcore.detectors._base import Detector
from advcore.detectors.bayesian_uncertainty import BayesianUncertainty
from advcore.detectors.combination import Combination
from advcore.detectors.feature_classifier import FeatureClassifier
from advcore.detectors.feature_squeezing import FeatureSqueezing
from advcore.detectors.kernel_density import ClassKernelDensity, KernelDensity
from advcore.detectors.lid import LID
from advcore.detectors.mahalanobis import Mahalanobis, TiedGaussian
from advcore.detectors.max_softmax import MaxSoftmax
from advcore.detectors.rbf_rejection import RBFRejection

__all__ = [
    "LID",
    "BayesianUncertainty",
    "ClassKernelDensity",
    "Combination",
    "Detector",
    "FeatureClassifier",
    "FeatureSqueezing",
    "KernelDensity",
    "Mahalanobis",
    "MaxSoftmax",
    "RBFRejection",
    "TiedGaussian",
]
