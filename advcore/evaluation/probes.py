"""What the checklist asks of a model beyond the attacks; each probe gives rows like an attack's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _random, attacks
from advcore._check import Array
from advcore.attacks._losses import LOSSES
from advcore.attacks._verdict import PASSES
from advcore.attacks.model import top_class, wrap
from advcore.evaluation import answers, limits, work
from advcore.evaluation.rows import Row
from advcore.evaluation.work import Setup, Task
from advcore.nn import serialization

CLEAN, GRADIENTS, TREND = "clean", "gradients", "loss along the attack"
UNBOUNDED, LONGER, RANDOM, TRANSFER = "unbounded", "more steps and restarts", "random draws", "transfer"
SINGLE_STEP = "single step"
BLACK_BOX = "without gradients, on all"
ROUNDED = "among 8-bit images"
TREND_STEPS = 10


def clean(setup: Setup, task: Task) -> list[Row]:
    """Ask for the inputs themselves: together, again, and each alone. Success: misclassified."""
    access, passes = setup.access(), PASSES if setup.randomised else 0
    single, together = answers.alone(access, task.x, task.is_over)
    if together.ndim != 2 or len(together) != len(task.x):
        raise ValueError(f"the model must return an array of shape ({len(task.x)}, classes), got {together.shape}")
    if len(single) < len(task.x):  # a run that goes on has these behind it
        raise work.OutOfTime(_clean_rows(setup, task.part(slice(len(single))), single, together[: len(single)], passes))
    return _clean_rows(setup, task, single, together, passes)


def _clean_rows(setup: Setup, task: Task, single: Array, together: Array, passes: int) -> list[Row]:
    access = setup.access()
    again = np.asarray(access.logits(task.x.copy()))
    for logits in (together, again, single):
        if not np.isfinite(logits).all():
            raise ValueError("the model must return finite numbers, got NaN or infinity")
    prediction = answers.average_class(access, task.x, passes) if passes else top_class(together, access.rejects)
    wrong = prediction != task.y
    same_again, same_alone = ~answers.differ(together, again), ~answers.differ(together, single)
    columns = zip(task.samples, wrong, prediction, same_again, same_alone, strict=True)
    return [
        Row(
            int(sample),
            task.label,
            0.0,
            bool(bad),
            "misclassified" if bad else "failed",
            queries=1,
            verification=2 + passes,
            prediction=int(chosen),
            again=bool(a),
            alone=None if setup.randomised else bool(b),
        )
        for sample, bad, chosen, a, b in columns
    ]


def gradients(setup: Setup, task: Task) -> list[Row]:
    """Look at the gradients that attacks start from. Success: all of them are finite and none is zero."""
    access = setup.access()
    losses = ("margin", "saturating_cross_entropy")

    def cotangents(logits: Array) -> Array:
        values = np.asarray(logits, np.float64)
        return np.stack([LOSSES[n].ascent(values, task.y, None) for n in losses], axis=1).astype(logits.dtype)

    _, found = access.logits_and_gradients(task.x.copy(), cotangents, len(losses))
    found = np.asarray(found)
    found = found.reshape(len(task.x), len(losses), -1)
    finite, there = np.isfinite(found).all(axis=2), (found != 0).any(axis=2)
    notes = np.select(
        [~finite.all(axis=1), ~there[:, 0], ~there[:, 1]],
        ["not finite", "zero", "zero only for cross-entropy, whose softmax saturates"],
        default="",
    )
    asked, answered = access.forwards(len(losses)), access.backwards(len(losses))
    return [
        Row(int(sample), task.label, 0.0, not note, "failed", queries=asked, gradients=answered, note=str(note))
        for sample, note in zip(task.samples, notes, strict=True)
    ]


def trend(setup: Setup, task: Task) -> list[Row]:
    """Take small gradient steps and compare the last loss with the first. Success: the attacker came nearer."""
    result = attacks.pgd(
        setup.handle.open(),
        task.x,
        task.y,
        eps=task.eps,
        norm=setup.norm,
        steps=TREND_STEPS,
        step_size=task.eps / TREND_STEPS,
        random_start=False,
        early_stop=False,
        trace=True,
        **work.options(setup, task),
    )
    work.refuse_partial(result)
    assert result.traces is not None  # asked for
    nearer = np.array([len(trace) > 1 and trace[-1] > trace[0] for trace in result.traces], np.bool_)
    spent = limits.spent(setup, result, "pgd")
    return [replace(row, status="failed") for row in work.to_rows(task, result, nearer, spent)]


def transfer(setup: Setup, task: Task) -> list[Row]:
    """Try examples made for one model on the others: rows "transfer A > B". Success: B is misclassified.

    Only what the model itself was asked counts; what its own examples cost stands in the row of the model on itself.
    """
    nets = {name: serialization.from_bytes(content) for name, content in setup.surrogates}
    own = setup.access()
    sources = {"model": setup.handle.open(), **nets} if own.gradients else nets
    passes = PASSES if setup.randomised else 1
    rows = []
    for name, network in sources.items():
        given = work.options(setup, task) | ({} if name == "model" else {"output": None, "randomised": False})
        budget: dict[str, Any] = {"eps": task.eps, "norm": setup.norm}
        result = attacks.pgd(network, task.x, task.y, **budget, steps=40, early_stop=False, **given)
        work.refuse_partial(result)
        for target in ("model", *nets):
            label, asks = f"{TRANSFER} {name} > {target}", target == "model"
            found = answers.average_class(own if asks else wrap(nets[target]), result.examples, passes if asks else 1)
            for row in work.to_rows(task, result, answers.fooled(found, task.y), limits.spent(setup, result, "pgd")):
                spent = (row.queries, row.gradients, row.verification) if name == target == "model" else (0, 0, 0)
                rows.append(
                    replace(
                        row,
                        attack=label,
                        status="success" if row.success else "failed",
                        queries=spent[0],
                        gradients=spent[1],
                        verification=spent[2] + asks * passes,
                    )
                )
    return rows


def sample_of(seed: int, total: int, count: int, stream: int) -> NDArray[np.int64]:
    """Return the sorted indices of a random sample of the images."""
    order = _random.choice(seed, np.zeros(1, np.int64), 0, total, min(count, total), stream=stream)[0]
    return np.sort(order)
