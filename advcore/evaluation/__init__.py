"""Evaluation: what attacks and detectors are worth, measured on inputs they were not fitted on."""

<<<<<<< HEAD
from advcore.evaluation._rates import Rates
from advcore.evaluation.adaptive import Adaptive, AdaptiveResult
from advcore.evaluation.detector import evaluate_detector
from advcore.evaluation.detector_report import DetectorReport

__all__ = ["Adaptive", "AdaptiveResult", "DetectorReport", "Rates", "evaluate_detector"]
=======
from advcore.evaluation.checks import Check
from advcore.evaluation.detector import DetectorReport, evaluate_detector
from advcore.evaluation.plan import Planned
from advcore.evaluation.report import Report
from advcore.evaluation.robustness import evaluate
from advcore.evaluation.rows import Row

__all__ = ["Check", "DetectorReport", "Planned", "Report", "Row", "evaluate", "evaluate_detector"]
>>>>>>> ba066ea621d2d0b77a5ab6a04a9c7d7c7579fe59
