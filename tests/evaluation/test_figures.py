"""The pictures of the report say what the table says, and are few enough."""

import numpy as np
import pytest

import advcore
from advcore.evaluation import document, figures, grids
from advcore.evaluation.plan import PLANS
from advcore.evaluation.results import About, Results
from advcore.evaluation.rows import EVERY_EPS, Row


def results_of(rows: list[Row], eps: tuple[float, ...]) -> Results:
    plan = [p.described("linf") for p in PLANS["standard"]]
    labels = np.zeros(10, np.int64)
    about = About("linf", eps, 0, (0, 1), "standard", plan, labels, "gradients", False, 10, {}, {}, {}, "")
    return Results(about, rows)


def far(sample: int, distance: float) -> Row:
    """Return the row of an attack that looks for the nearest example, and found this one."""
    return Row(
        sample, "C&W", EVERY_EPS, True, "success", linf=distance, queries=1000, queries_to_success=7, seconds=3.0
    )


def test_an_example_further_away_than_eps_is_no_success() -> None:
    """C&W breaks everything, but only three images within eps."""
    found = results_of([far(s, 0.01 if s < 3 else 0.4) for s in range(10)], (0.05,))
    picture = figures.queries(found)
    assert picture is not None
    assert "C&W breaks 3 of its 10 images" in picture.alternative
    (entry,) = document.document(found, [], True)["attacks"]
    assert entry["broken"] == 3
    assert entry["median_queries_to_success"] == 1000  # the first example, after 7, may have been any
    assert document.document(found, [], True)["times"]["attacks"]["C&W"]["seconds_a_success"] == 10
    assert figures.queries(results_of([far(s, 0.4) for s in range(10)], (0.05,))) is None


def test_the_eps_with_most_to_see_is_drawn() -> None:
    """At the largest one the first attack leaves nothing to the others."""

    def row(attack: str, sample: int, eps: float, success: bool) -> Row:
        status = "success" if success else "failed"
        return Row(sample, attack, eps, success, status, linf=eps, queries=9, queries_to_success=3 if success else -1)

    rows = [row("APGD-CE", s, eps, eps > 0.1 or s < 5) for s in range(10) for eps in (0.1, 0.2, 0.3)]
    rows += [row("Square", s, 0.1, s == 5) for s in range(5, 10)]
    picture = figures.queries(results_of(rows, (0.1, 0.2, 0.3)))
    assert picture is not None
    assert "ε = 0.1" in picture.caption
    assert "APGD-CE breaks 5 of its 10 images; Square breaks 1 of its 5 images" in picture.alternative


class Linear:
    """Two classes by the sign of a sum."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.weights = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), shape)

    def logits(self, x: np.ndarray) -> np.ndarray:
        side = (x * self.weights).reshape(len(x), -1).sum(axis=1)
        return np.stack([-side, side], axis=1)

    def vjp(self, x: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        return (cotangent[:, 1] - cotangent[:, 0])[:, np.newaxis, np.newaxis, np.newaxis] * self.weights


def test_a_page_of_noise_at_many_eps_is_small() -> None:
    x = np.random.default_rng(1).random((16, 3, 96, 96), np.float32)
    model = Linear(x.shape[1:])
    y = model.logits(x).argmax(axis=1)
    eps = [0.1 + 0.01 * step for step in range(12)]
    report = advcore.evaluate(model, x, y, norm="linf", eps=eps, attacks=["fgsm"], checks=False)
    drawn = list(grids.examples(report))
    assert [picture.caption.split(". ")[0] for picture in drawn] == [f"fgsm, ε = {e}" for e in (0.1, 0.16, 0.21)]
    assert all(0 < int(picture.alternative.split()[0]) <= grids.PICTURED for picture in drawn)
    assert len(report.html().encode()) < 3_000_000


@pytest.mark.parametrize("attack", [("boundary", {"steps": 100}), ("carlini_wagner", {"steps": 100})])
def test_a_search_for_the_nearest_example_has_its_pictures(plain, x, y, attack) -> None:  # type: ignore[no-untyped-def]
    report = advcore.evaluate(plain, x[:16], y[:16], norm="l2", eps=[0.4, 3.0], attacks=[attack], checks=False)
    drawn = list(grids.examples(report))
    assert drawn
    assert f"{attack[0]}, ε = 3." in drawn[-1].caption
