"""Square: queries to the letter, scores alone, perturbations that fill the budget."""

import numpy as np
import pytest

from advcore.attacks import square
from advcore.attacks._squares import pyramid, tiled, window
from advcore.attacks.square import _odd, share


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("queries", [1, 2, 3, 57])
def test_spends_the_queries_and_not_one_more(linear, norm, queries):
    setup = linear.problem(count=4, shape=(1, 7, 6))
    result = square(setup.model, setup.x, setup.y, eps=1e-6, norm=norm, max_queries=queries, bounds=setup.bounds)
    assert (result.queries == queries).all()
    assert (result.gradients == 0).all()
    steps = square(setup.model, setup.x, setup.y, eps=1e-6, norm=norm, steps=queries, bounds=setup.bounds)
    np.testing.assert_array_equal(steps.examples, result.examples)


@pytest.mark.parametrize("shape", [(6,), (5, 4), (1, 9, 9), (3, 8, 5), (2, 3, 4, 5), (1, 1, 1)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_any_shape_of_sample_and_a_budget_used_up(linear, norm, shape):
    setup = linear.problem(count=6, shape=shape)
    eps = float(np.median(linear.nearest(setup, norm).min(axis=1))) * 1.5
    result = square(setup.model, setup.x, setup.y, eps=eps, norm=norm, steps=150, bounds=setup.bounds)
    assert result.success.any()
    assert (result.distances[norm] <= eps).all()
    np.testing.assert_allclose(result.distances[norm], eps, rtol=1e-6)


def test_more_queries_find_more_and_labels_of_a_callable_do(linear):
    setup = linear.problem(count=40, shape=(1, 8, 8), classes=3)
    eps = float(np.median(linear.nearest(setup, "linf").min(axis=1))) * 1.6
    few, many = (
        square(setup.model.logits, setup.x, setup.y, eps=eps, steps=n, output="logits", bounds=setup.bounds)
        for n in (5, 400)
    )
    assert few.success.sum() < many.success.sum()
    assert (many.queries_to_success[many.success] > 0).all()


def test_only_masked_in_features_change(linear):
    setup = linear.problem(count=6, shape=(1, 8, 8))
    mask = np.zeros((1, 8, 8), np.bool_)
    mask[:, 2:5] = True
    for norm in ("linf", "l2"):
        result = square(setup.model, setup.x, setup.y, eps=0.3, norm=norm, steps=40, mask=mask, bounds=setup.bounds)
        assert (result.examples == setup.x)[:, ~mask].all()
        assert (result.examples != setup.x).any()


def test_shares_halve_as_in_the_paper():
    assert [share(0.8, step, 10_000) for step in (0, 10, 11, 50, 51, 201, 8001)] == [
        0.8, 0.8, 0.4, 0.4, 0.2, 0.1, 0.8 / 512
    ]  # fmt: skip
    assert share(0.8, 26, 5000) == 0.2


def test_windows_lie_inside_and_reach_every_place():
    draws = np.linspace(0, 1, 101)[:-1]
    place = window(draws, draws[::-1], 2, 3, 2, (5, 4))
    assert np.broadcast_shapes(*(part.shape for part in place)) == (100, 2, 3, 2)
    assert place[2].min() == 0
    assert place[2].max() == 4
    assert place[3].min() == 0
    assert place[3].max() == 3


def test_pyramids_oppose_each_other():
    down, across = pyramid(np.array([0.1, 0.9]), 6, 6)
    np.testing.assert_allclose(np.linalg.norm(down), 1)
    np.testing.assert_allclose(down[0].T, across[0])
    assert (down[0, :3] > 0).all()
    assert (down[0, 3:] < 0).all()
    assert tiled(np.random.default_rng(0).random((3, 4 * 100)), 3, 10, 10).shape == (3, 3, 10, 10)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_squares_shrink_by_a_samples_own_limit(norm):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((3, 36))
    x = rng.uniform(0.2, 0.8, (8, 1, 6, 6))

    def scores(x):
        return (x.reshape(len(x), 1, -1) * weight).sum(axis=-1)

    y = scores(x).argmax(axis=1)
    options = {"eps": 0.1 if norm == "linf" else 0.5, "norm": norm, "output": "logits", "randomised": False}
    limits = np.array([30, 60, 200, 60, 30, 2, 200, 60])
    together = square(scores, x, y, max_queries=limits, **options)
    assert (together.queries <= limits).all()
    assert (together.queries[~together.success] == limits[~together.success]).all()
    for limit in np.unique(limits):
        same = limits == limit
        alone = square(scores, x[same], y[same], max_queries=int(limit), sample_ids=np.flatnonzero(same), **options)
        np.testing.assert_array_equal(together.examples[same], alone.examples)
        np.testing.assert_array_equal(together.queries[same], alone.queries)


@pytest.mark.parametrize("shape", [(1, 6, 6), (2, 5, 4), (7,)])
def test_no_query_is_spent_on_the_best_image_so_far(linear, shape):
    setup = linear.problem(count=1, shape=shape)
    asked = []

    def scores(x):
        values = setup.model.logits(x)
        asked.extend(zip(x.copy(), values, strict=True))
        return values

    square(scores, setup.x, setup.y, eps=1e-4, steps=300, output="logits", randomised=False, bounds=setup.bounds)
    margins = np.array([values[setup.y[0]] - np.delete(values, setup.y[0]).max() for _, values in asked[:300]])
    for step in range(2, 300):
        best = margins[1:step].argmin() + 1
        assert (asked[step][0] != asked[best][0]).any(), step


def test_pyramids_have_a_middle(linear):
    assert [_odd(side, most) for side, most in ((3, 9), (4, 9), (4, 4), (8, 9), (2, 2), (1, 1))] == [3, 5, 3, 9, 1, 1]


def test_a_sample_that_may_not_change_asks_for_nothing_but_itself(linear):
    setup = linear.problem(count=3, shape=(1, 4, 4))
    mask = np.ones(setup.x.shape, np.bool_)
    mask[1] = False
    for norm in ("linf", "l2"):
        result = square(setup.model, setup.x, setup.y, eps=6.0, norm=norm, steps=20, mask=mask, bounds=setup.bounds)
        np.testing.assert_array_equal(result.examples[1], setup.x[1])
