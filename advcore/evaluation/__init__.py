"""Evaluation: what attacks and detectors are worth, measured on inputs they were not fitted on."""

from advcore.evaluation.checks import Check
from advcore.evaluation.detector import DetectorReport, evaluate_detector
from advcore.evaluation.plan import Planned
from advcore.evaluation.report import Report
from advcore.evaluation.robustness import evaluate
from advcore.evaluation.rows import Row

__all__ = ["Check", "DetectorReport", "Planned", "Report", "Row", "evaluate", "evaluate_detector"]
