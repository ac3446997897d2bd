"""Evaluation: what attacks and detectors are worth, measured on inputs they were not fitted on."""

from advcore.evaluation._rates import Rates
from advcore.evaluation.adaptive import Adaptive, AdaptiveResult
from advcore.evaluation.checks import Check
from advcore.evaluation.detector import evaluate_detector
from advcore.evaluation.detector_report import DetectorReport
from advcore.evaluation.plan import Planned
from advcore.evaluation.report import Report
from advcore.evaluation.robustness import evaluate
from advcore.evaluation.rows import Row

__all__ = [
    "Adaptive",
    "AdaptiveResult",
    "Check",
    "DetectorReport",
    "Planned",
    "Rates",
    "Report",
    "Row",
    "evaluate",
    "evaluate_detector",
]
