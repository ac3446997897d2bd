"""Detectors: tell adversarial inputs from clean and noisy ones.

A detector has scikit-learn's interface: ``fit(X, y)`` on labelled inputs (1: adversarial, 0: not), ``score_samples``
(the larger, the more suspicious), ``decision_function`` (positive: taken for adversarial) and ``predict`` (0 or 1).
"""

from advcore.detectors.lid import LID

__all__ = ["LID"]
