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
BY_SCORES_ALONE = (
    "model and detector have no gradients together, so who knows the detector had scores alone, which shows where it "
    "fails but not that it holds: give it a score_gradient(x)"
)


def checked(detector: Any) -> Any:
    """Return a fitted detector: decision_function(x) is positive where it takes x for adversarial."""
    if detector is not None:
        _check.methods("detector", detector, ("decision_function",))
    return detector


def not_run(setup: Setup) -> str:
    """Say why the detector cannot be attacked, or nothing."""
    if setup.norm in BY_SCORES or has_gradients(setup):
        return ""
    return f"model and detector have no gradients together, and no attack by scores works in {setup.norm}"


def has_gradients(setup: Setup) -> bool:
    """Say whether model and detector have gradients together."""
    return attacks.joint(setup.handle.open(), setup.detector, output=setup.output).gradients


def probe(setup: Setup, task: Task) -> list[Row]:
    """Attack the model alone, and model and detector together. Success: misclassified, and no alarm."""
    alarm = _alarms(setup.detector, task.x)
    status = np.where(alarm, "success", "failed")
    rows = [
        Row(int(sample), ALARM, task.eps, bool(hit), str(state))
        for sample, hit, state in zip(task.samples, alarm, status, strict=True)
    ]
    unaware, spent = _strong(setup, task, setup.handle.open(), int(task.options), setup.output)
    rows += _rows(task, UNAWARE, unaware, unaware.success & ~_alarms(setup.detector, unaware.examples), spent)
    together = attacks.joint(setup.handle.open(), setup.detector, output=setup.output)
    aware, spent = _strong(setup, task, together, int(task.options), None)
    met = aware.success
    # Gradients of a detector may be of no use.
    if together.gradients and not met.all() and setup.norm in BY_SCORES:
        rest = task.part(~met)
        second, too = _run(setup, rest, attacks.square, together, None, steps=int(task.options))
        rows += _rows(rest, AWARE, second, second.success, too)
        task, aware, spent, met = task.part(met), _part(aware, met), spent[met], met[met]
    return rows + _rows(task, AWARE, aware, met, spent)


def _strong(setup: Setup, task: Task, model: Any, queries: int, output: str | None) -> Attacked:
    """Attack by gradients where there are some, else by scores."""
    if wrap(model, output, needs="label", named=setup.classes).gradients:
        return _run(setup, task, attacks.pgd, model, output, steps=STEPS, early_stop=False)
    return _run(setup, task, attacks.square, model, output, steps=queries)


def _run(setup: Setup, task: Task, attack: Any, model: Any, output: str | None, **own: Any) -> Attacked:
    given = work.options(setup, task) | {"output": output}
    result: AttackResult = attack(model, task.x, task.y, eps=task.eps, norm=setup.norm, **own, **given)
    work.refuse_partial(result)
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
