"""Whether a detector holds: against attackers who do not know of it, and against those who do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check, attacks
from advcore._check import Array
from advcore.attacks import AttackResult
from advcore.attacks.model import wrap
from advcore.evaluation import limits, work
from advcore.evaluation.rows import Row
from advcore.evaluation.work import Setup, Task

PREFIX = "detector"
ALARM, UNAWARE, AWARE = f"{PREFIX}: false alarm", f"{PREFIX}: unaware attacker", f"{PREFIX}: aware attacker"
LABELS = (ALARM, UNAWARE, AWARE)
STEPS = 40
Flags = NDArray[np.bool_]
Attacked = tuple[AttackResult, Flags]  # and of which samples the queries were spent
BY_SCORES = ("linf", "l2")  # norms of the attack by scores
WITHOUT_SCORES = ("label", "top1")
BY_SCORES_ALONE = (
    "model and detector have no gradients of use together, so who knows the detector had scores alone, which shows "
    "where it fails but not that it holds: give it a score_gradient(x) that returns (scores, gradients)"
)


def checked(detector: Any) -> Any:
    """Return a fitted detector: decision_function(x) is positive where it takes x for adversarial."""
    if detector is not None:
        _check.methods("detector", detector, ("decision_function",))
    return detector


def refuse_useless(detector: Any, x: Array) -> None:
    """Raise where the detector raises for inputs, or does not give a finite score for each."""
    if detector is None:
        return
    scores = np.asarray(_asked(detector, "decision_function", x))
    real = scores.shape == (len(x),) and scores.dtype.kind in "fiub"
    if not real or not np.isfinite(scores).all():
        what = "NaN or infinity" if real else f"an array of shape {scores.shape}, {scores.dtype}"
        raise ValueError(f"the detector's decision_function must return a finite score an image, got {what}")


def leads(detector: Any, x: Array) -> bool:
    """Say whether the detector has gradients that are of use at some of the inputs; raise where they have no shape."""
    if detector is None or not callable(getattr(detector, "score_gradient", None)):
        return False
    answer = _asked(detector, "score_gradient", x)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise ValueError(
            f"the detector's score_gradient must return (scores, gradients), got a {type(answer).__name__}"
        )
    found = np.asarray(answer[1])
    if found.shape != x.shape or found.dtype.kind not in "fiu":
        raise ValueError(
            f"the detector's score_gradient must return (scores, gradients) with gradients of shape {x.shape}, got "
            f"an array of shape {found.shape}, {found.dtype}"
        )
    return bool(np.isfinite(found).all() and found.any())


def _asked(detector: Any, method: str, x: Array) -> Any:
    """Return what a method answers about the inputs."""
    try:
        return getattr(detector, method)(x.copy())
    except Exception as error:
        raise ValueError(
            f"the detector's {method} cannot be used for the first images: {type(error).__name__}: {error}"
        ) from error


def not_run(setup: Setup, useful: bool) -> str:
    """Say why the detector, whose gradients are useful or not, cannot be attacked, or nothing."""
    if setup.output in WITHOUT_SCORES:
        return f"the model gives a {setup.output} alone, and who knows the detector needs scores"
    if setup.norm in BY_SCORES or has_gradients(setup, useful):
        return ""
    return f"model and detector have no gradients of use together, and no attack by scores works in {setup.norm}"


def has_gradients(setup: Setup, useful: bool) -> bool:
    """Say whether model and detector have gradients together, and the detector's are useful."""
    return useful and attacks.joint(setup.handle.open(), setup.detector, output=setup.output).gradients


def probe(setup: Setup, task: Task) -> list[Row]:
    """Attack the model alone, and model and detector together. Success: misclassified, and no alarm."""
    alarm = _alarms(setup.detector, task.x)
    status = np.where(alarm, "success", "failed")
    rows = [
        Row(int(sample), ALARM, task.eps, bool(hit), str(state))
        for sample, hit, state in zip(task.samples, alarm, status, strict=True)
    ]
    unaware, spent = _strong(setup, task, setup.handle.open(), int(task.options), setup.output)
    passed = unaware.success & ~_alarms(setup.detector, unaware.examples)
    rows += _rows(task, UNAWARE, unaware, passed, spent)
    if passed.any():  # who knows the detector has these examples, too
        rows += _rows(task.part(passed), AWARE, _part(unaware, passed), passed[passed], spent[passed])
        task = task.part(~passed)
    if passed.all():
        return rows
    together = attacks.joint(setup.handle.open(), setup.detector, output=setup.output)
    aware, spent = _strong(setup, task, together, int(task.options), None)
    met = aware.success
    # Gradients of a detector may be of no use.
    left = np.full(len(met), 2**62 if setup.max_queries is None else setup.max_queries) - aware.queries
    again = ~met & (left > 1)
    if together.gradients and again.any() and setup.norm in BY_SCORES:
        rest, first = task.part(again), _part(aware, again)
        second, too = _run(setup, rest, attacks.square, together, None, first, steps=int(task.options))
        rows += _rows(rest, AWARE, second, second.success, too)
        task, aware, spent, met = task.part(~again), _part(aware, ~again), spent[~again], met[~again]
    return rows + _rows(task, AWARE, aware, met, spent)


def _strong(setup: Setup, task: Task, model: Any, queries: int, output: str | None) -> Attacked:
    """Attack by gradients where there are some, else by scores."""
    if wrap(model, output, needs="label", named=setup.classes).gradients:
        return _run(setup, task, attacks.pgd, model, output, steps=STEPS, early_stop=False)
    return _run(setup, task, attacks.square, model, output, steps=queries)


def _run(
    setup: Setup,
    task: Task,
    attack: Any,
    model: Any,
    output: str | None,
    before: AttackResult | None = None,
    **own: Any,
) -> Attacked:
    """Run an attack, on the account of the one before it if there was one."""
    given = work.options(setup, task) | {"output": output}
    if before is not None and setup.max_queries is not None:
        given["max_queries"] = setup.max_queries - before.queries
    result: AttackResult = attack(model, task.x, task.y, eps=task.eps, norm=setup.norm, **own, **given)
    work.refuse_partial(result)
    if before is not None:
        result = replace(
            result,
            queries=result.queries + before.queries,
            gradients=result.gradients + before.gradients,
            verification=result.verification + before.verification,
            queries_to_success=np.where(result.success, result.queries_to_success + before.queries, -1),
        )
    return result, limits.spent(setup, result, attack.__name__, own)


def _rows(task: Task, label: str, result: AttackResult, met: Flags, spent: Flags) -> list[Row]:
    found = work.to_rows(replace(task, label=label), result, met, spent)
    return [replace(row, status="success" if row.success else "failed") for row in found]


def _part(result: AttackResult, chosen: NDArray[np.bool_]) -> AttackResult:
    return replace(
        result,
        success=result.success[chosen],
        status=result.status[chosen],
        distances={norm: values[chosen] for norm, values in result.distances.items()},
        queries=result.queries[chosen],
        gradients=result.gradients[chosen],
        verification=result.verification[chosen],
        queries_to_success=result.queries_to_success[chosen],
    )


def _alarms(detector: Any, x: Array) -> NDArray[np.bool_]:
    alarms: NDArray[np.bool_] = np.asarray(detector.decision_function(x.copy())) > 0
    return alarms
