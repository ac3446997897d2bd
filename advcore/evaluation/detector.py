"""How well a detector tells adversarial images from clean and noisy ones it has never seen, and from none at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._access import Access
from advcore.attacks._projection import Region
from advcore.attacks.model import wrap
from advcore.attacks.result import measure
from advcore.detectors import Detector
from advcore.evaluation import _overlap, _rates, _versions
from advcore.evaluation._by_gradient import by_gradient
from advcore.evaluation._by_search import by_search
from advcore.evaluation._judge import CLEAN, Featured, Index, Key, Plain
from advcore.evaluation._rates import RATES, Rates
from advcore.evaluation._target import Target, unusable
from advcore.evaluation.adaptive import Adaptive, AdaptiveResult
from advcore.evaluation.detector_report import ALL, DetectorReport


def evaluate_detector(
    detector: Any,
    model: Any,
    x: Array,
    y: Array,
    examples: Array | Mapping[str, Array],
    *,
    held_out: float = 0.5,
    fpr: float = 0.05,
    output: str | None = None,
    exclude: Array | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
    adaptive: Adaptive | None = Adaptive(),  # noqa: B008  frozen
) -> DetectorReport:
    """Fit a detector on some images' clean, noisy and adversarial versions; score it on those of other images.

    Images count if the model gets the clean version right and an attack's version wrong. The noisy version has Gaussian
    noise of the L2 size of the image's own perturbation, after clipping to the bounds; where an attack sets a minority
    of the pixels to the maximum, and nothing else, as many random pixels are set to it. All versions of an image are on
    one side of the split. In the end the detector is fitted on all attacks together, and attacked itself: see Adaptive.

    Parameters
    ----------
    detector : Detector, or estimator with fit(X, y) and score_samples(X)
        Is fitted. With ``score_gradient(X) -> (scores, gradients)`` it is attacked by gradients.
    model : as for attacks
    x : float array, (N, ...)
        Clean images.
    y : int array, (N,)
        True labels.
    examples : float array, (N, ...), or dict of them by the attacks' names
        Attacks' examples for x.
    held_out : float, in (0, 1)
        Fraction of the images that the detector is scored on.
    fpr : float, in (0, 1)
        Of ``detection_rate``.
    output : str, optional
        What a plain callable returns, as for attacks.
    exclude : int array, (N,), optional
        Passed to the detector, for each version of an image. Images that lie in the reference of a detector of
        advcore.detectors need not be named: they are looked up.
    seed : int
        Of the split, the noise and the adaptive attack.
    bounds : (low, high)
    adaptive : Adaptive or None
        The budget of the adaptive attack. None leaves it out, and the report says so.

    Returns
    -------
    DetectorReport

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If shapes do not fit, a number is not finite or out of range, fewer than four images count, or an image would be
        its own neighbour in the detector's reference.
    """
    _check.methods("detector", detector, ("fit", "score_samples"))
    x = _check.array("x", x, min_ndim=2)
    box = _check.bounds("bounds", bounds)
    attacks = _attacks(x, examples, box)
    y = _check.integers("y", y, shape=(len(x),), minimum=0, maximum=2**31)
    held_out = _check.real("held_out", held_out, above=0.0, below=1.0)
    fprs = tuple(sorted({*RATES, _check.real("fpr", fpr, above=0.0, below=1.0)}))
    seed = _check.integer("seed", seed, minimum=0, maximum=2**63 - 1)
    if exclude is not None:
        exclude = _check.integers("exclude", exclude, shape=(len(x),), minimum=-1, maximum=2**62)
    settings = None if adaptive is None else _check.instance("adaptive", adaptive, Adaptive)
    access = wrap(model, output)
    if access.rejects:
        raise TypeError("model must be a classifier alone, got one that rejects: give what is behind it")

    right = _predict(access, x) == y
    fooled = {name: right & (_predict(access, wrong) != y) for name, wrong in attacks.items()}
    for name, mask in fooled.items():
        if mask.sum() < 4:
            which = f"examples[{name!r}]" if isinstance(examples, Mapping) else "examples"
            raise ValueError(f"{which} must fool the model on at least 4 images that it gets right, got {mask.sum()}")
    (chosen,) = np.nonzero(np.any(list(fooled.values()), axis=0))
    exclude = _overlap.excluded(detector, x, chosen, exclude)
    out, groups = np.zeros(len(x), np.bool_), _overlap.groups(x)
    out[chosen] = _versions.split(groups[chosen], held_out, seed)
    train = {name: np.flatnonzero(mask & ~out) for name, mask in fooled.items()}
    test = {name: np.flatnonzero(mask & out) for name, mask in fooled.items()}
    for name in attacks:
        if not len(train[name]) or not len(test[name]):
            raise ValueError(f"examples of {name} fool the model on no image of one side of the split: more are needed")

    images: dict[Key, Array] = {CLEAN: x}
    for number, (name, wrong) in enumerate(attacks.items()):
        (ids,) = np.nonzero(fooled[name])
        noise = x.copy()
        noise[ids] = _versions.noisy(x[ids], wrong[ids], ids, seed, box, number)
        images |= {(name, "noisy"): noise, (name, "adversarial"): wrong}
    judge = (Featured if isinstance(detector, Detector) else Plain)(detector, images, exclude)

    def scores(tested: str) -> dict[str, NDArray[np.float64]]:
        keys = {"clean": CLEAN, "noisy": (tested, "noisy"), "adversarial": (tested, "adversarial")}
        return {kind: judge.score(key, test[tested]) for kind, key in keys.items()}

    matrix: dict[tuple[str, str], Rates] = {}
    sides = {name: [name] for name in attacks} | ({ALL: list(attacks)} if len(attacks) > 1 else {})
    for trained, names in sides.items():
        judge.fit([(name, train[name]) for name in names])
        found = {tested: _rates.rates(scores(tested), fprs, seed, groups[test[tested]]) for tested in attacks}
        matrix |= {(trained, tested): rates for tested, rates in found.items()}
    final = {name: matrix[list(sides)[-1], name].scores for name in attacks}
    held_clean: dict[int, float] = {}  # an image counts once, whichever attacks fool the model on it
    for name in attacks:
        held_clean |= dict(zip(test[name].tolist(), final[name]["clean"].tolist(), strict=True))
    negatives = np.concatenate([list(held_clean.values()), *(final[name]["noisy"] for name in attacks)])
    held = np.flatnonzero(out)
    row = _adaptive(judge, access, x, y, attacks, held, test, negatives, settings, box, fprs, seed)
    return DetectorReport(matrix, list(attacks), row, float(fpr), int(len(chosen) - len(held)), len(held))


def _attacks(x: Array, examples: Array | Mapping[str, Array], box: tuple[float, float]) -> dict[str, Array]:
    """Return the examples by the attacks' names, checked."""
    _check.finite("x", x)
    _check.inside("x", x, box)
    if not isinstance(examples, Mapping):
        named = {"examples": ("attack", examples)}
    else:
        named = {f"examples[{name!r}]": (name, value) for name, value in examples.items()}
    if not named:
        raise ValueError("examples must have at least one attack, got an empty dict")
    checked = {}
    for label, (name, value) in named.items():
        if not isinstance(name, str) or not name or name == ALL:
            raise ValueError(f"examples must have strings other than {ALL!r} as names, got {name!r}")
        checked[name] = _check.array(label, value, dtype=x.dtype, shape=x.shape)
        _check.finite(label, checked[name])
        _check.inside(label, checked[name], box)
    return checked


def _predict(access: Access, x: Array) -> Index:
    if not len(x):
        return np.zeros(0, np.int64)
    logits = np.concatenate([np.asarray(access.logits(x[i : i + 256])) for i in range(0, len(x), 256)])
    _check.not_nan("the model's logits", logits.astype(np.float64))
    return np.asarray(logits.argmax(axis=1))


def _adaptive(
    judge: Plain,
    access: Access,
    x: Array,
    y: Index,
    attacks: dict[str, Array],
    held: Index,
    fooled: dict[str, Index],
    negatives: NDArray[np.float64],
    settings: Adaptive | None,
    box: tuple[float, float],
    fprs: tuple[float, ...],
    seed: int,
) -> AdaptiveResult:
    """Attack model and detector together, on held-out images, and judge the examples afresh."""
    threshold = _rates.threshold(negatives, 0.05)
    if settings is None:
        return AdaptiveResult.not_run("the caller left it out", x[:0], threshold, fprs)
    places = _versions.drawn(held, settings.images, seed)
    # Of the held-out images that an attack fooled: those it gave back unchanged would make it look small.
    lengths = {name: measure(wrong[fooled[name]], x[fooled[name]])[settings.norm] for name, wrong in attacks.items()}
    sizes = {name: float(np.median(values)) for name, values in lengths.items()}
    nearest = min(sizes, key=lambda name: sizes[name])
    eps = sizes[nearest] if settings.eps is None else settings.eps
    region = Region(x[places], box, settings.norm, eps)
    no_gradient = judge.without_gradient() or ("" if access.gradients else "the model gives no gradients")
    target = Target(
        access,
        lambda images, index: judge.of_attack(images, places[index]),
        None if no_gradient else (lambda images, index: judge.gradient(images, places[index])),
        threshold,
        x[places],
        y[places],
        region,
    )
    starts = region.project(attacks[nearest][places], np.arange(len(places)))
    no_gradient = no_gradient or target.without_gradients()
    examples, method = starts, "random search"
    if not no_gradient:
        try:
            examples, method = by_gradient(target, settings, starts, seed), "gradient"
        except Exception as error:  # as in without_gradients
            no_gradient = unusable(error)
    left = np.flatnonzero(~target.meets(*target.judge(examples, np.arange(len(examples)))))
    if len(left):  # gradients may hide what there is
        examples = examples.copy()
        examples[left] = by_search(target.of(left), settings, examples[left], seed)
        method = method if no_gradient else "gradient, then random search"
    margins, scores = target.judge(examples, np.arange(len(examples)))
    wrong = margins > 0
    return AdaptiveResult(
        method=method,
        reason=no_gradient,
        norm=settings.norm,
        eps=eps,
        examples=examples,
        images=places,
        misclassified=wrong,
        undetected=scores <= threshold,
        scores=scores,
        threshold=threshold,
        success=float(target.meets(margins, scores).mean()),
        auc=_rates.area(negatives, scores[wrong]) if wrong.any() else float("nan"),
        detection={
            rate: float((scores[wrong] > _rates.threshold(negatives, rate)).mean()) if wrong.any() else float("nan")
            for rate in fprs
        },
    )
