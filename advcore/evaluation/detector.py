"""How well a detector tells adversarial images from clean and noisy ones it has never seen, in any version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks._projection import Region
from advcore.attacks.model import wrap
from advcore.attacks.result import l2_norms, rows

KINDS = ("clean", "noisy", "adversarial")


@dataclass(frozen=True)
class DetectorReport:
    """A detector's scores on the held-out images.

    Attributes
    ----------
    auc : float
        Area under the ROC curve, adversarial against clean and noisy together.
    auc_clean, auc_noisy : float
        Adversarial against one of them.
    detection_rate : float
        Adversarial images detected when at most ``fpr`` of the clean and noisy ones raise an alarm.
    fpr : float
    scores : dict of float64 arrays, (n,)
        "clean", "noisy" and "adversarial": the versions of the same n held-out images.
    roc : (false positive rates, true positive rates), float64 arrays
    fitted, held_out : int
        Images on either side of the split.
    """

    auc: float
    auc_clean: float
    auc_noisy: float
    detection_rate: float
    fpr: float
    scores: dict[str, NDArray[np.float64]]
    roc: tuple[NDArray[np.float64], NDArray[np.float64]]
    fitted: int
    held_out: int


def evaluate_detector(
    detector: Any,
    model: Any,
    x: Array,
    y: Array,
    examples: Array,
    *,
    held_out: float = 0.5,
    fpr: float = 0.05,
    output: str | None = None,
    exclude: Array | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> DetectorReport:
    """Fit a detector on some images' clean, noisy and adversarial versions; score it on those of other images.

    Images count if the model gets the clean version right and the adversarial one wrong. The noisy version has Gaussian
    noise of the L2 size of the image's own perturbation, after clipping to the bounds. All versions of an image are on
    one side of the split.

    Parameters
    ----------
    detector : estimator with fit(X, y) and score_samples(X)
        Is fitted.
    model : as for attacks
    x, examples : float arrays, (N, ...)
        Clean images and an attack's examples for them.
    y : int array, (N,)
        True labels.
    held_out : float, in (0, 1)
        Fraction of the images that the detector is scored on.
    fpr : float, in (0, 1)
        Of ``detection_rate``.
    output : str, optional
        What a plain callable returns, as for attacks.
    exclude : int array, (N,), optional
        Passed to the detector, for each version of an image.
    seed : int
        Of the split and the noise.
    bounds : (low, high)

    Returns
    -------
    DetectorReport

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If shapes do not fit, a number is not finite or out of range, or fewer than four images count.
    """
    x = _check.array("x", x, min_ndim=2)
    examples = _check.array("examples", examples, dtype=x.dtype, shape=x.shape)
    box = _check.bounds("bounds", bounds)
    for name, images in (("x", x), ("examples", examples)):
        _check.finite(name, images)
        _check.inside(name, images, box)
    y = _check.integers("y", y, shape=(len(x),), minimum=0, maximum=2**31)
    held_out = _check.real("held_out", held_out, above=0.0, maximum=1.0)
    fpr = _check.real("fpr", fpr, above=0.0, maximum=1.0)
    seed = _check.integer("seed", seed, minimum=0, maximum=2**63 - 1)
    if exclude is not None:
        exclude = _check.integers("exclude", exclude, shape=(len(x),), minimum=-1, maximum=2**62)

    access = wrap(model, output)
    (chosen,) = np.nonzero((_predict(access, x) == y) & (_predict(access, examples) != y))
    if len(chosen) < 4:
        raise ValueError(f"examples must fool the model on at least 4 images that it gets right, got {len(chosen)}")
    versions = {"clean": x[chosen], "noisy": _noisy(x[chosen], examples[chosen], chosen, seed, box)}
    versions["adversarial"] = examples[chosen]

    order = _random.choice(seed, np.zeros(1, np.int64), 0, len(chosen), len(chosen), stream=1)[0]
    cut = min(max(round(len(chosen) * held_out), 1), len(chosen) - 1)
    test, train = np.sort(order[:cut]), np.sort(order[cut:])

    def options(side: NDArray[np.int64], repeats: int) -> dict[str, Any]:
        return {} if exclude is None else {"exclude": np.tile(exclude[chosen[side]], repeats)}

    labels = np.repeat([0, 0, 1], len(train))
    detector.fit(np.concatenate([versions[kind][train] for kind in KINDS]), labels, **options(train, len(KINDS)))
    scores = {kind: np.asarray(detector.score_samples(versions[kind][test], **options(test, 1))) for kind in KINDS}
    false_rates, true_rates, _ = _roc(roc_curve, scores, ("clean", "noisy"))
    return DetectorReport(
        auc=float(_roc(roc_auc_score, scores, ("clean", "noisy"))),
        auc_clean=float(_roc(roc_auc_score, scores, ("clean",))),
        auc_noisy=float(_roc(roc_auc_score, scores, ("noisy",))),
        detection_rate=float(true_rates[false_rates <= fpr].max()),
        fpr=fpr,
        scores=scores,
        roc=(false_rates, true_rates),
        fitted=len(train),
        held_out=len(test),
    )


def _predict(access: Any, x: Array) -> NDArray[np.int64]:
    parts = [np.asarray(access.logits(x[i : i + 256])).argmax(axis=1) for i in range(0, len(x), 256)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _roc(measure: Any, scores: dict[str, NDArray[np.float64]], negatives: tuple[str, ...]) -> Any:
    """Apply a function of scikit-learn to (labels, scores): adversarial against the named kinds."""
    kinds = (*negatives, "adversarial")
    labels = np.concatenate([np.full(len(scores[kind]), kind == "adversarial") for kind in kinds])
    return measure(labels, np.concatenate([scores[kind] for kind in kinds]))


def _noisy(x: Array, examples: Array, ids: NDArray[np.int64], seed: int, box: tuple[float, float]) -> Array:
    """Return x with Gaussian noise, clipped to the box, as far in L2 as the examples are, or as the box lets it go."""
    region, index = Region(x, box), np.arange(len(x))
    size = l2_norms(rows(examples).astype(np.float64) - rows(x))
    noise = _random.normal(seed, ids, 0, rows(x).shape[1]).reshape(x.shape)

    def noised(scale: NDArray[np.float64]) -> Array:
        return region.project(x + scale.reshape(-1, *[1] * (x.ndim - 1)) * noise, index)

    # Clipping shortens the noise, so its scale is found by bisection: the distance grows with the scale.
    low, high = np.zeros(len(x)), 1e3 * size
    for _ in range(60):
        middle = (low + high) / 2
        short = l2_norms(rows(noised(middle)).astype(np.float64) - rows(x)) < size
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return noised(low)
