"""The checklist's comparisons, on rows whose answer is known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from advcore.evaluation import checks, detection, probes
from advcore.evaluation.campaign import Campaign
from advcore.evaluation.document import document
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
    plan = [p.described("linf") for p in PLANS["standard"]]
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


def cut(attack: str, samples: range, status: str, eps: float = EPS) -> list[Row]:
    """Return rows without a result."""
    return [Row(s, attack, eps, False, status) for s in samples]


STRONG = rows_of("APGD-CE", range(100), WHITE)


@pytest.mark.parametrize("status", ["error", "unfinished"])
@pytest.mark.parametrize(
    ("name", "attack", "samples"),
    [
        (checks.LONGER, probes.LONGER, SURVIVORS),
        (checks.RANDOM, probes.RANDOM, SURVIVORS),
        (checks.TRANSFER, f"{probes.TRANSFER} mlp > model", range(100)),
        ("iterative attacks beat a single step", probes.SINGLE_STEP, range(100)),
        ("white-box attacks beat black-box ones", "Square", SURVIVORS),
        ("unbounded attacks break everything", f"{probes.UNBOUNDED} 1", range(100)),
    ],
)
def test_what_raised_or_was_cut_passes_no_check(name: str, attack: str, samples: range, status: str) -> None:
    """It was counted as tried, and not broken."""
    check = checked(STRONG + cut(attack, samples, status))[name]
    assert check.verdict == checks.NOT_RUN
    assert "no result" in check.evidence
    known = rows_of(attack, samples[:1], samples[:1] if attack.startswith(probes.UNBOUNDED) else range(0))
    assert checked(STRONG + known + cut(attack, samples[1:], status))[name].verdict == checks.NOT_RUN
    most = rows_of(attack, samples[1:], samples[1:] if attack.startswith(probes.UNBOUNDED) else range(0))
    one = checked(STRONG + most + cut(attack, samples[:1], status))[name]
    # One image more or less changes nothing, but where all but a point must be broken.
    assert one.verdict == (checks.NOT_RUN if attack.startswith(probes.UNBOUNDED) else checks.PASS)


def test_what_is_known_fails_all_the_same() -> None:
    """Errors beside it do not save a model."""
    rows = STRONG + rows_of(probes.RANDOM, range(60, 80), range(60, 80)) + cut(probes.RANDOM, range(80, 100), "error")
    assert checked(rows)[checks.RANDOM].verdict == checks.FAIL


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (probes.GRADIENTS, "gradients are neither zero nor non-finite"),
        (probes.TREND, "the loss moves the attacker's way"),
    ],
)
def test_gradients_that_raise_pass_no_check(attack: str, name: str) -> None:
    """One image with a gradient says nothing of 99 others."""
    fine = [Row(0, attack, 0.0, True, "failed")]
    assert checked(fine)[name].verdict == checks.PASS
    assert checked(fine + cut(attack, range(1, 100), "error", 0.0))[name].verdict == checks.NOT_RUN
    assert checked(cut(attack, range(100), "error", 0.0))[name].verdict == checks.NOT_RUN


def test_an_unfinished_run_has_not_shown_that_nothing_was_left() -> None:
    """Its probes may be to come."""
    plan = [p.described("linf") for p in PLANS["standard"]]
    about = About(
        "linf", (EPS,), 0, (0, 1), "standard", plan, np.zeros(9, np.int64), "gradients", False, 9, {}, {}, {}, ""
    )
    for complete, verdict in ((True, checks.PASS), (False, checks.NOT_RUN)):
        found = {c.name: c for c in checks.checklist(Results(about, rows_of("APGD-CE", range(9), range(9)), complete))}
        assert found[checks.LONGER].verdict == found[checks.RANDOM].verdict == verdict


def test_an_unfinished_run_says_so_and_gives_no_other_reason() -> None:
    """Of ten images the model was asked for three, and has two right: it is not wrong on the others."""
    plan = [p.described("linf") for p in PLANS["standard"]]
    labels, identity = np.zeros(10, np.int64), {"detector": "some hash"}
    about = About("linf", (0.1, EPS), 0, (0, 1), "standard", plan, labels, "gradients", False, 9, {}, identity, {}, "")
    rows = [Row(s, probes.CLEAN, 0.0, s > 1, "misclassified" if s > 1 else "failed") for s in range(3)]
    found = Results(about, rows, complete=False)
    untold = {c.name for c in checks.checklist(found) if c.evidence != "it has not been run yet"}
    assert untold == {name for name in checks.CHECKS if "8 bits" in name or "framework" in name}
    told = document(found, [], False)
    assert told["accuracy"] | {"low": 0, "high": 1} == {"accuracy": 2 / 3, "low": 0, "high": 1, "right": 2, "asked": 3}
    assert told["per_class"] == [{"class": 0, "images": 10, "accuracy": 2 / 3, "robust": [0.9, 0.9]}]
    assert told["robust"][0]["robust_accuracy"] == 0.9
    assert told["minimum_norm"]["found"] == 0
    nothing = document(Results(about, [], complete=False), [], False)
    assert nothing["accuracy"]["accuracy"] is None
    assert nothing["per_class"][0]["accuracy"] is None


@pytest.mark.parametrize(
    ("images", "alarms", "unaware", "aware", "verdict"),
    [
        (100, 0, 0, 0, checks.PASS),
        (100, 0, 1, 1, checks.PASS),  # a point, which may be chance
        (100, 0, 50, 50, checks.FAIL),  # never an alarm: knowing it gains nothing
        (100, 0, 5, 5, checks.FAIL),
        (100, 0, 0, 20, checks.FAIL),
        (2, 0, 1, 1, checks.NOT_RUN),  # too few to tell
        (100, 10, 0, 0, checks.PASS),
        (100, 15, 0, 0, checks.PASS),  # more than a tenth, which may be chance
        (100, 20, 0, 0, checks.FAIL),
        (100, 100, 0, 0, checks.FAIL),  # always an alarm: nobody passes, and nothing is told
    ],
)
def test_a_detector_holds_where_who_knows_it_has_little_success(
    images: int, alarms: int, unaware: int, aware: int, verdict: str
) -> None:
    """Not merely where he has no more than who does not know it, and not where it takes all for adversarial."""
    every = range(images)
    rows = rows_of(detection.ALARM, every, range(alarms))
    rows += rows_of(detection.UNAWARE, every, range(unaware)) + rows_of(detection.AWARE, every, range(aware))
    check = checked(rows)[checks.DETECTOR]
    assert check.verdict == verdict
    assert f"{aware} where he does" in check.evidence
    broken = [row for row in rows if row.attack != detection.AWARE] + cut(detection.AWARE, every, "error")
    assert checked(broken)[checks.DETECTOR].verdict == checks.NOT_RUN
