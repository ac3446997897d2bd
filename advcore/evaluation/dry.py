"""What a run would cost: its own steps, priced by a few calls of the model."""

from __future__ import annotations

import inspect
import math
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import attacks
from advcore._check import Array
from advcore.attacks._access import Access
from advcore.attacks._verdict import PASSES
from advcore.evaluation import answers, detection, probes
from advcore.evaluation.given import Given
from advcore.evaluation.grid import EIGHT_BITS
from advcore.evaluation.plan import Planned
from advcore.evaluation.steps import Step, attack_steps, first_steps
from advcore.nn import Network

_ROUNDS = 3
_PRICED_SECONDS = 0.5  # of the model a call
_SURROGATES = ("mlp", "cnn")
_SIDE = 8  # of the stand-in's images: what attacks ask does not depend on it
_OWN_STEPS = {"hop_skip_jump", "boundary", "zoo"}  # start from another class, or ask too often to try
Cost = NDArray[np.float64]  # queries and gradients, (2,)


def expected(given: Given) -> str:
    """Return lines with FLOPs, queries and the time to expect, roughly: as if no attack broke anything.

    Raises
    ------
    ValueError
        If the model cannot be run on the data, or is wrong on all of the samples that it is asked for.
    """
    access = given.setup.access()
    part = _priced(given, access)
    forward = _seconds(lambda: access.logits(part.copy())) / len(part)
    query = gradient = forward
    if given.access != "labels":
        query = _price(given, part, attacks.square, "queries", forward)
    if given.access == "gradients":
        gradient = _price(given, part, attacks.pgd, "gradients", query)
    runs: dict[str, int] = defaultdict(int)
    costs: dict[str, Cost] = defaultdict(lambda: np.zeros(2))
    own = {planned.label for planned in given.plan}
    for step in _steps(given):
        label = step.label if step.label in own else "the checks"
        images = min(step.images or len(given.x), len(given.x))
        runs[label] += images
        costs[label] += images * _cost(given, step)
    lines = [
        f"  {label:14} {runs[label]:>8,} runs of about {queries:,.0f} queries, {gradients:,.0f} gradients"
        for label, (queries, gradients) in ((label, cost / runs[label]) for label, cost in costs.items())
    ]
    queries, gradients = np.sum(list(costs.values()), axis=0)
    seconds = (queries - gradients) * query + gradients * gradient
    norm, eps = given.setup.norm, ", ".join(f"{e:g}" for e in given.eps)
    head = [f"{len(given.x)} images of shape {given.x.shape[1:]}, {norm}, eps {eps}"]
    each, model = f"{forward * 1e6:.0f} microseconds in chunks of {len(part)}", given.setup.handle.open()
    if isinstance(model, Network):
        flops = model.flops(given.x.shape[1:])
        head.append(f"one image forward: {flops:,} FLOPs, {each}")
        head.append(f"in all, about {flops * (queries + 2 * gradients):.3g} FLOPs")
    else:
        head.append(f"one image forward: {each}")
    tail = [
        f"about {queries:,.0f} queries and {gradients:,.0f} gradients, about {_time(seconds)} here",
        "less where images are broken early: attacks stop there, and later ones run on the rest; a few seconds for the "
        "start, the surrogates and the report come on top",
    ]
    return "\n".join([*head, *lines, *tail])


def _priced(given: Given, access: Access) -> Array:
    """Return images to price the model with: a chunk, or as many as it answers in half a second."""
    sample = np.linspace(0, len(given.x) - 1, min(given.chunk, len(given.x))).astype(np.int64)
    right, errors, answered = False, [], []
    started = time.perf_counter()
    for number in sample:
        try:
            found = answers.classes(access, given.x[number : number + 1])
        except (Exception, SystemExit) as error:
            errors.append(f"{type(error).__name__}: {error}")
            continue
        right |= bool(found[0] == given.y[number])
        answered.append(number)
        if right and time.perf_counter() - started > _PRICED_SECONDS:
            break
    if not answered:
        raise ValueError(f"the model cannot be run on the data, of shape {given.x.shape}: {errors[0]}")
    if not right:
        raise ValueError(
            f"the model is wrong on all {len(answered)} samples that it was asked for: are labels, bounds, mean, std "
            "and layout those that it was trained with?"
        )
    return given.x[answered]


def _price(given: Given, part: Array, attack: Any, what: str, least: float) -> float:
    """Return the seconds that a query or gradient of one image takes, with what the attack computes around it."""
    y, box = answers.classes(given.setup.access(), part), given.setup.bounds
    given_all = {"bounds": box, "output": given.setup.output, "randomised": False}
    started = time.perf_counter()
    try:
        result = attack(given.setup.handle.open(), part, y, eps=1e-6 * (box[1] - box[0]), steps=_ROUNDS, **given_all)
    except Exception:  # what it raises for one image costs the run that image
        return least
    return max((time.perf_counter() - started) / max(int(getattr(result, what).sum()), 1), least)


def _steps(given: Given) -> list[Step]:
    """Return the steps of the run but those that are over at once, or that depend on what it finds."""
    white, setup = given.access == "gradients", given.setup
    steps = attack_steps(
        given.plan,
        given.eps,
        given.effort,
        setup.norm,
        given.unbounded,
        has_gradients=white,
        surrogates=_SURROGATES,
        detector=setup.detector is not None and not detection.not_run(setup, given.detector_leads),
        on_grid=given.is_on_grid(EIGHT_BITS),
    )
    found = [*first_steps(given.pays_for_gradients), *(step for e in sorted(steps) for step in steps[e])]
    return [step for step in found if not step.rounded_away and not step.label.startswith(probes.UNBOUNDED)]


def _cost(given: Given, step: Step) -> Cost:
    """Return the queries and gradients of an image that nothing breaks."""
    if step.planned is not None:
        return _of_attack(given, step.planned, step.eps)
    white = given.access == "gradients"
    by_gradient: Cost = np.array([detection.STEPS + 2.0, detection.STEPS]) * white
    if step.label == probes.CLEAN:
        return np.array([3.0 + PASSES * given.setup.randomised, 0])
    if step.label == probes.GRADIENTS:
        return np.array([2.0, 2])
    if step.label == probes.TREND:
        return np.array([probes.TREND_STEPS + 2.0, probes.TREND_STEPS])
    if step.label == probes.TRANSFER:
        return np.add(by_gradient, [white + len(_SURROGATES), 0.0])
    return np.add(2 * by_gradient, [float(step.options) * (1 if white else 2), 0.0])  # the detector's


def _of_attack(given: Given, planned: Planned, eps: float) -> Cost:
    """Try the attack on a stand-in that costs nothing."""
    limits = [limit for limit in (planned.options.get("max_queries"), given.setup.max_queries) if limit is not None]
    most = min(limits, default=None)
    if planned.attack in _OWN_STEPS:
        return np.array([min(_by_steps(planned, math.prod(given.x.shape[1:])), most or math.inf), 0])
    shape, box = given.x.shape[1:], given.setup.bounds
    if len(shape) == 3:
        shape = (shape[0], min(shape[1], _SIDE), min(shape[2], _SIDE))
    budget = max(given.eps) if math.isinf(eps) else eps
    wall = Wall if given.setup.access().forwards(1) == 1 else Apart
    model = (wall if planned.access == "gradient" else Scores)(shape, given.x.dtype, box, budget, given.setup.classes)
    arguments = planned.arguments(given.setup.norm, eps) | {"max_queries": most}
    result = getattr(attacks, planned.attack)(
        model, model.x, np.zeros(1, np.int64), bounds=box, output=None, randomised=False, **arguments
    )
    draws = planned.draws or 1
    return np.array([draws * result.queries[0], draws * result.gradients[0]], np.float64)


def _by_steps(planned: Planned, size: int) -> float:
    parameters = inspect.signature(getattr(attacks, planned.attack)).parameters
    options = {name: p.default for name, p in parameters.items()} | dict(planned.options)
    steps = int(options["steps"] or 1000)
    if planned.attack == "boundary":
        return steps * 1.1
    if planned.attack == "zoo":
        searches = 1 if options["c"] is not None else int(options["search_steps"])
        return steps * searches * (2 * min(int(options["coordinates"] or 128), size) + 1)
    largest = int(options["largest_evaluations"])
    return sum(min(int(options["evaluations"]) * math.sqrt(n), largest) + 15 for n in range(1, steps + 1))


class Scores:
    """A stand-in for the model, linear and free, that answers attacks on one sample: no point within eps breaks it."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, box: tuple[float, float], eps: float, classes: int) -> None:
        rng = np.random.default_rng(0)
        self.x: Array = rng.choice(np.array(box, dtype), (1, *shape))  # on every grid
        self.slopes: Array = rng.normal(size=(classes, math.prod(shape))).astype(dtype)
        self.heights: Array = -self.x.reshape(1, -1) @ self.slopes.T
        apart = np.abs(self.slopes - self.slopes[0])
        self.heights[0, 0] += 2 * min(eps, box[1] - box[0]) * apart.sum(axis=1).max()

    def logits(self, x: Array) -> Array:
        """Return scores of which the first is the largest."""
        scores: Array = x.reshape(len(x), -1) @ self.slopes.T + self.heights
        return scores


class Apart(Scores):
    """With gradients, each of which takes a forward pass of its own."""

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return the gradients of scores."""
        gradients: Array = (cotangent @ self.slopes).reshape(x.shape)
        return gradients


class Wall(Apart):
    """With gradients that come with the scores, as networks give them."""

    def value_and_vjps(self, x: Array, cotangents: Callable[[Array], Array], count: int) -> tuple[Array, Array]:
        """Return scores and gradients, (count, N, ...)."""
        scores = self.logits(x)
        return scores, (cotangents(scores) @ self.slopes).reshape(count, *x.shape)


def _seconds(call: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
