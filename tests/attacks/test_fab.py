"""FAB: the closed form in three norms, the plane inside the box, masks, budgets, classes to aim at."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advcore.attacks import fab
from advcore.attacks._plane import biased_move


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("count", [0, 4])
def test_comes_within_a_hundredth_of_the_nearest_example(linear, norm, count):
    setup = linear.problem(classes=5, count=100)
    best = linear.nearest(setup, norm).min(axis=1)
    result = fab(setup.model, setup.x, setup.y, norm=norm, steps=20, target_classes=count, bounds=setup.bounds)
    assert result.success.all()
    ratio = result.distances[norm] / best
    assert ((ratio > 1 - 1e-9) & (ratio < 1.01)).all()


def test_l1_and_float32(linear):
    setup = linear.problem(classes=2, count=30, dtype=np.float32)
    best = np.abs(setup.scores[:, 0] - setup.scores[:, 1]) / np.abs(setup.w[0] - setup.w[1]).max()
    result = fab(setup.model, setup.x, setup.y, norm="l1", steps=20, bounds=setup.bounds)
    ratio = result.distances["l1"] / best
    assert result.success.all()
    assert ((ratio > 1 - 1e-4) & (ratio < 1.01)).all()


def test_targets_are_reached(linear):
    setup = linear.problem(classes=4, count=20)
    targets = (setup.y + 1) % 4
    result = fab(setup.model, setup.x, setup.y, norm="l2", steps=40, targets=targets, bounds=setup.bounds)
    assert result.success.mean() > 0.9
    np.testing.assert_array_equal(
        setup.model.logits(result.examples).argmax(axis=1)[result.success], targets[result.success]
    )


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_with_a_budget_only_what_lies_within_it_is_a_success(linear, norm):
    setup = linear.problem(count=40)
    free = fab(setup.model, setup.x, setup.y, norm=norm, steps=15, bounds=setup.bounds)
    eps = float(np.median(free.distances[norm]))
    tied = fab(setup.model, setup.x, setup.y, norm=norm, eps=eps, steps=15, restarts=2, bounds=setup.bounds)
    np.testing.assert_array_equal(tied.success, free.distances[norm] <= eps)
    assert (tied.distances[norm] <= eps).all()
    assert (tied.queries[tied.success] < tied.queries[~tied.success].min()).all()


def test_untargeted_steps_cost_a_gradient_for_every_other_class(linear):
    setup = linear.problem(classes=5, count=3, kind=linear.Combined)
    result = fab(setup.model, setup.x, setup.y, steps=6, bounds=setup.bounds)
    assert (result.gradients == 6 * 4).all()
    aimed = fab(setup.model, setup.x, setup.y, steps=6, target_classes=2, bounds=setup.bounds)
    assert (aimed.gradients == 6 * 2).all()


def test_only_masked_in_features_change(linear):
    setup = linear.problem(count=10)
    mask = np.zeros((4, 5), np.bool_)
    mask[1:3] = True
    for norm in ("linf", "l2", "l1"):
        result = fab(setup.model, setup.x, setup.y, norm=norm, steps=10, restarts=2, mask=mask, bounds=setup.bounds)
        assert result.success.any()
        assert (result.examples == setup.x)[:, ~mask].all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_the_step_to_a_plane_is_feasible_and_no_other_is_shorter(norm, data):
    """Against random feasible steps: the right height, inside the box, and never longer."""
    x = data.draw(arrays(np.float64, (1, 4), elements=st.floats(0, 1)))
    normal = data.draw(arrays(np.float64, (1, 4), elements=st.floats(-3, 3).filter(lambda v: v == 0 or abs(v) > 1e-3)))
    room = np.where(normal > 0, 1 - x, x)
    most, least = (np.abs(normal) * room).sum(), -(np.abs(normal) * np.where(normal > 0, x, 1 - x)).sum()
    gain = data.draw(st.floats(-1, 1)) * (most if most > 0 else 1.0)
    reachable = float(np.clip(gain, least, most))
    step = biased_move(x, x, normal, np.array([-gain]), (0.0, 1.0), norm) - x
    assert ((x + step >= -1e-9) & (x + step <= 1 + 1e-9)).all()
    np.testing.assert_allclose((normal * step).sum(), reachable, atol=1e-8)
    order = {"linf": np.inf, "l2": 2, "l1": 1}[norm]
    rng = np.random.default_rng(0)
    other = rng.uniform(-x[0], 1 - x[0], (400, 4))
    heights = other @ normal[0]
    towards = (
        np.sign(reachable) * heights > abs(reachable) + 1e-12
    )  # past the plane: shrinking them to it shortens them
    if reachable != 0 and towards.any():
        shrunk = other[towards] * (reachable / heights[towards])[:, np.newaxis]
        assert np.linalg.norm(step[0], order) <= np.linalg.norm(shrunk, order, axis=1).min() + 1e-8
