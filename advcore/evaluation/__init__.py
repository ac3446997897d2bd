"""Evaluation: what attacks and detectors are worth, measured on inputs they were not fitted on."""

from advcore.evaluation._rates import Rates
from advcore.evaluation.adaptive import Adaptive, AdaptiveResult
from advcore.evaluation.detector import evaluate_detector
from advcore.evaluation.detector_report import DetectorReport

__all__ = ["Adaptive", "AdaptiveResult", "DetectorReport", "Rates", "evaluate_detector"]
