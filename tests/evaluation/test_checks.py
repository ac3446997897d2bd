"""The checklist's comparisons, on rows whose answer is known."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from advcore.evaluation import checks, probes
from advcore.evaluation.campaign import Campaign
from advcore.evaluation.plan import EFFORTS, PLANS, Planned
from advcore.evaluation.results import About, Results
from advcore.evaluation.rows import Row
from advcore.evaluation.steps import attack_steps

EPS = 0.3
WHITE = range(60)  # of 100 images
SURVIVORS = range(60, 100)


def rows_of(attack: str, samples: range, broken: range) -> list[Row]:
    """Return rows of an attack on some samples, of which it breaks some."""
    return [
        Row(s, attack, EPS, s in broken, "success" if s in broken else "failed", linf=EPS if s in broken else 0.0)
        for s in samples
    ]


def checked(rows: list[Row]) -> dict[str, checks.Check]:
    """Return the checklist by name."""
    plan = [asdict(p) | {"access": p.access, "has_budget": p.has_budget} for p in PLANS["standard"]]
    about = About(
        "linf", (EPS,), 0, (0, 1), "standard", plan, np.zeros(100, np.int64), "gradients", False, 100, {}, {}, {}, ""
    )
    rows = [Row(s, probes.CLEAN, 0.0, False, "failed") for s in range(100)] + rows
    return {check.name: check for check in checks.checklist(Results(about, rows))}


def judged(rows: list[Row]) -> checks.Check:
    """Return the check of white-box against black-box attacks."""
    return checked(rows)["white-box attacks beat black-box ones"]


@pytest.mark.parametrize(
    ("on_all", "verdict"),
    [
        (range(52, 68), checks.PASS),  # 8 survivors, but of what gradients break only 8
        (range(20, 100), checks.FAIL),  # 40 that gradients did not break, and all but 20 that they did
    ],
)
def test_an_attack_on_survivors_is_judged_by_a_sample_of_all(on_all: range, verdict: str) -> None:
    """On survivors it can only win."""
    survivors = range(max(60, on_all.start), on_all.stop)
    check = judged(
        rows_of("APGD-CE", range(100), WHITE)
        + rows_of("Square", SURVIVORS, survivors)
        + rows_of(probes.BLACK_BOX, range(100), on_all)
    )
    assert check.verdict == verdict
    assert f"Square broke {len(survivors)} at eps 0.3" in check.evidence


def test_without_that_sample_survivors_count() -> None:
    """A plan whose checks are off has no other evidence."""
    rows = rows_of("APGD-CE", range(100), WHITE) + rows_of("Square", SURVIVORS, range(60, 68))
    assert judged(rows).verdict == checks.FAIL
    assert judged(rows_of("APGD-CE", range(100), WHITE) + rows_of("Square", SURVIVORS, range(0))).verdict == checks.PASS


@pytest.mark.parametrize(("lost", "verdict"), [(9, checks.PASS), (20, checks.FAIL)])
def test_rounding_may_cost_a_tenth(lost: int, verdict: str) -> None:
    """Of 100 broken images some are lost because 8-bit images do not reach as far as eps."""
    rows = [Row(s, "APGD-CE", EPS, True, "success", linf=EPS, rounded=s >= lost) for s in range(100)]
    assert checked(rows)["examples survive rounding to 8 bits"].verdict == verdict


def test_every_attack_looks_among_8_bit_images_for_what_rounding_saved() -> None:
    """Until one has found it: an image that only Square breaks is not lost because APGD finds nothing on the grid."""
    plan = (Planned("APGD-CE", "apgd"), Planned("Square", "square"))
    about: dict[str, Any] = {"has_gradients": True, "surrogates": (), "detector": False}
    steps = attack_steps(plan, (EPS,), EFFORTS["quick"], "linf", 1.0, **about)[EPS]
    first, second = (step for step in steps if step.rounded_away)
    assert first.planned
    assert second.planned
    assert [first.planned.attack, second.planned.attack] == ["apgd", "square"]
    assert dict(first.planned.options)["quantize"] == dict(second.planned.options)["quantize"] == 255

    def row(sample: int, label: str, success: bool, rounded: bool) -> Row:
        return Row(sample, label, EPS, success, "success" if success else "failed", linf=EPS, rounded=rounded)

    rows = [Row(s, probes.CLEAN, 0.0, False, "failed") for s in range(4)]
    rows += [row(s, "Square", s > 0, False) for s in range(4)]  # it breaks 1, 2 and 3
    rows += [row(s, first.label, s == 2, s == 2) for s in range(1, 4)]
    table: Any = SimpleNamespace(rows={r.key: r for r in rows})
    setup: Any = SimpleNamespace(norm="linf", seed=0)
    campaign = Campaign(np.zeros((4, 2)), np.zeros(4, np.int64), setup, table, chunk=4)
    assert campaign.participants(second, steps[: steps.index(second)], np.arange(4)).tolist() == [1, 3]
