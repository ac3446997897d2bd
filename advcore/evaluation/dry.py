"""What a run would cost, measured on a few samples."""

from __future__ import annotations

import inspect
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import attacks
from advcore._check import Array
from advcore.attacks.model import wrap
from advcore.evaluation import plan
from advcore.evaluation.handle import Handle
from advcore.nn import Network

_ROUNDS = 3


def expected(
    handle: Handle, x: Array, y: NDArray[np.int64], norm: str, eps: Any, wanted: Any, chunk: int, answers: str | None
) -> str:
    """Return lines with FLOPs, queries and the time to expect, roughly: as if no attack broke anything."""
    model = handle.open()
    access = wrap(model, answers, needs="label", named=int(y.max()) + 1)
    part = x[:chunk]
    forward = _seconds(lambda: access.logits(part.copy())) / len(part)
    backward = 0.0
    if access.gradients:
        backward = _seconds(lambda: access.logits_and_gradients(part.copy(), _first, 1)) / len(part)
    _, planned = plan.chosen(wanted)
    lines, total_queries, total_gradients = [], 0, 0
    for p in planned:
        images = len(x) if p.images is None else min(p.images, len(x))
        queries, gradients = _without_success(p, x, max(eps))
        rounds = len(eps) if p.has_budget else 1
        total_queries += images * queries * rounds
        total_gradients += images * gradients * rounds
        lines.append(f"  {p.label:14} {images * rounds:>8,} runs of about {queries:,} queries, {gradients:,} gradients")
    seconds = (total_queries - total_gradients) * forward + total_gradients * max(backward, forward)
    flops = model.flops(x.shape[1:]) if isinstance(model, Network) else None
    head = [f"{len(x)} images of shape {x.shape[1:]}, {norm}, eps {', '.join(f'{e:g}' for e in eps)}"]
    if flops is not None:
        head.append(f"one image forward: {flops:,} FLOPs, {forward * 1e6:.0f} microseconds in chunks of {chunk}")
        head.append(f"in all, about {flops * (total_queries + 2 * total_gradients):.3g} FLOPs")
    else:
        head.append(f"one image forward: {forward * 1e6:.0f} microseconds in chunks of {chunk}")
    tail = [
        f"about {total_queries:,} queries and {total_gradients:,} gradients, about {_time(seconds)} here",
        "less where images are broken early: attacks stop there, and later ones run on the rest; the checks add some",
    ]
    return "\n".join([*head, *lines, *tail])


def _without_success(planned: plan.Planned, x: Array, eps: float) -> tuple[int, int]:
    """Return about how many queries and gradients an attack spends on an image that it does not break."""
    parameters = inspect.signature(getattr(attacks, planned.attack)).parameters
    given = {name: p.default for name, p in parameters.items()} | dict(planned.options)
    steps = int(given.get("steps") or given.get("max_queries") or 1)
    runs = int(given.get("restarts") or 1) * int(given.get("target_classes") or 1) * int(given.get("search_steps") or 1)
    draws = planned.draws or 1
    if planned.attack == "zoo":
        runs = 1 if given.get("c") is not None else runs
        per_step = 2 * min(int(given["coordinates"] or 128), int(np.prod(x.shape[1:]))) + 1
        return steps * runs * per_step, 0
    if planned.attack == "hop_skip_jump":
        largest = int(given["largest_evaluations"])
        probes = sum(min(int(given["evaluations"]) * math.sqrt(step), largest) for step in range(1, steps + 1))
        return int(probes) + 15 * steps, 0
    if planned.attack == "bim" and given["steps"] is None:  # the paper's number
        steps = max(math.ceil(min(255 * eps + 4, 1.25 * 255 * eps)), 1)
    passes = steps * runs * draws
    if planned.access != "gradient":
        return passes + 2, 0
    gradients = passes * (int(given["classes"]) - 1 if planned.attack == "deepfool" else 1)
    return passes * (2 if planned.attack in ("fab", "deepfool") else 1) + 2, gradients


def _first(logits: Any) -> Array:
    values = np.asarray(logits)
    cotangent: Array = np.zeros((len(values), 1, values.shape[1]), values.dtype)
    cotangent[:, 0, 0] = 1
    return cotangent


def _seconds(call: Any) -> float:
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
