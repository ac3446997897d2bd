"""A classifier and a detector attacked together (Carlini, Wagner 2017, arXiv 1705.07263, section 3.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._access import Access, Cotangents
from advcore.attacks.model import wrap


def joint(classifier: Any, detector: Any, *, scale: float = 1.0, output: str | None = None) -> Access:
    """Return a model with one more class, "rejected": ``z_{K+1} = max_j z_j + scale D(x)``, D the detector's decision.

    Any attack takes it in place of the model. A rejected input counts as a defence that held: success means that the
    classifier is wrong (targeted: says the target) and the detector is silent, both.

    Parameters
    ----------
    classifier : as for attacks
        One that rejects by itself, such as a joint model, counts as rejecting where it or the detector does.
    detector : object with decision_function(x) -> (B,)
        Positive where x is taken for adversarial, as in advcore.detectors and scikit-learn. With
        ``score_gradient(x) -> (scores (B,), gradients (B, ...))`` of the same function up to a constant, white-box
        attacks can use it; without, only black-box ones can.
    scale : float, above 0
        Logits a unit of the decision. Success does not depend on it, the attack's path does.
    output : str, optional
        What a plain callable returns, as in Options.

    Returns
    -------
    object that attacks take as a model

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong.

    Notes
    -----
    Differs from the paper: its ``(D + 1) max_j z_j`` orders the classes the same way where the largest logit is
    positive, and wrongly where it is not.
    """
    _check.methods("detector", detector, ("decision_function",))
    return Joint(wrap(classifier, output), detector, _check.real("scale", scale, above=0.0))


class Joint(Access):
    """The classes of a classifier, and one for what a detector rejects."""

    rejects = True

    def __init__(self, base: Access, detector: Any, scale: float) -> None:
        self.base, self.detector, self.scale = base, detector, scale
        self.gradients = base.gradients and callable(getattr(detector, "score_gradient", None))
        self.randomised, self.queries = base.randomised, base.queries
        if base.judge is not base:
            self.judge = Joint(base.judge, detector, scale)

    @property
    def errors(self) -> Any:  # type: ignore[override]  # read through, where Access keeps a value
        """As the classifier's: the detector's part of a gradient has none."""
        return self.base.errors

    def logits(self, x: Array) -> Any:
        """Return the logits of the classifier, and that of being rejected."""
        return self._with(self.base.logits(x.copy()), self.detector.decision_function(x.copy()))

    def forwards(self, gradients: int) -> int:
        """The detector's own passes are not counted: they are part of the model that is attacked."""
        return self.base.forwards(gradients)

    def backwards(self, gradients: int) -> int:
        """As the classifier's."""
        return self.base.backwards(gradients)

    def logits_and_gradients(self, x: Array, cotangents: Cotangents, count: int) -> tuple[Any, Any]:
        """Return the logits, and the gradients through both parts."""
        decision = np.asarray(self.detector.decision_function(x.copy()))
        weights: list[Array] = []

        def of_classes(logits: Any) -> Array:
            values = np.asarray(logits)
            both = cotangents(self._with(values, decision))
            _, column, detected = self._rejected(values, decision)
            weights.append(both[..., -1] * detected[:, np.newaxis])
            own = np.zeros((*both.shape[:-1], values.shape[1]), both.dtype)
            own[..., : both.shape[-1] - 1] = both[..., :-1]
            own[np.arange(len(column)), :, column] += both[..., -1]  # that logit is part of the last one
            return own

        logits, gradients = self.base.logits_and_gradients(x.copy(), of_classes, count)
        result = np.asarray(gradients)
        weight = np.mean(weights, axis=0)  # an averaged classifier has asked once a draw
        if weight.any():
            slope = np.asarray(self.detector.score_gradient(x.copy())[1])
            shape = (*weight.shape, *[1] * (x.ndim - 1))
            result = result + self.scale * weight.reshape(shape) * slope[:, np.newaxis]
        return self._with(logits, decision), result.astype(np.asarray(gradients).dtype)

    def _with(self, logits: Any, decision: Any) -> Array:
        values = np.asarray(logits)
        rejected = self._rejected(values, decision)[0][:, np.newaxis]
        return np.concatenate([self._classes(values), rejected.astype(values.dtype)], axis=1)

    def _rejected(self, values: Array, decision: Any) -> tuple[Array, Array, Array]:
        """Return the logit of being rejected, the classifier's column that it moves with, and where the detector too.

        It is the detector's, or that of a classifier which rejects by itself, if that is larger.
        """
        classes = self._classes(values)
        detected = classes.max(axis=1) + self.scale * np.asarray(decision)
        own = values[:, -1] if self.base.rejects else np.full(len(values), -np.inf)
        column = np.where(own > detected, values.shape[1] - 1, classes.argmax(axis=1))
        return np.maximum(detected, own), column, detected >= own

    def _classes(self, values: Array) -> Array:
        return values[:, :-1] if self.base.rejects else values
