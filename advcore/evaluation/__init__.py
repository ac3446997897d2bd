"""Evaluation: what attacks and detectors are worth, measured on inputs they were not fitted on."""

from advcore.evaluation.detector import DetectorReport, evaluate_detector

__all__ = ["DetectorReport", "evaluate_detector"]
