"""ZOO against the closed form on linear models, and as an attack on callables."""

import numpy as np
import pytest

from advcore.attacks import zoo

SEARCH = {"coordinates": 20, "steps": 150, "learning_rate": 5e-3, "initial_c": 0.1, "search_steps": 7}


def test_comes_within_two_percent_of_the_nearest_example(linear):
    setup = linear.problem(classes=3, count=6)
    result = zoo(setup.model, setup.x, setup.y, bounds=setup.bounds, **SEARCH)
    assert result.success.all()
    ratio = result.distances["l2"] / linear.nearest(setup, "l2").min(axis=1)
    assert (ratio > 1 - 1e-9).all()
    assert (ratio < 1.02).all()


def test_targeted_comes_within_two_percent_of_the_nearest_example(linear):
    setup = linear.problem(classes=2, count=4)
    targets = 1 - setup.y
    result = zoo(setup.model, setup.x, setup.y, targets=targets, bounds=setup.bounds, **SEARCH)
    np.testing.assert_array_equal(setup.model.logits(result.examples).argmax(axis=1), targets)
    ratio = result.distances["l2"] / linear.nearest(setup, "l2").min(axis=1)
    assert ((ratio > 1 - 1e-9) & (ratio < 1.02)).all()


def test_without_gradients_and_with_few_coordinates_a_step(linear):
    setup = linear.problem(classes=3, count=4, dtype=np.float32)
    result = zoo(
        setup.model.logits, setup.x, setup.y, output="logits", coordinates=5, steps=400, c=10.0, bounds=setup.bounds
    )
    assert result.success.all()
    assert (result.distances["l2"] < 1.05 * linear.nearest(setup, "l2").min(axis=1) + 0.1).all()
    assert (result.gradients == 0).all()


def test_probabilities_do_as_well_as_logits(linear):
    setup = linear.problem(classes=3, count=4)

    def probabilities(x):
        logits = setup.model.logits(x)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    arguments = {"coordinates": 20, "steps": 100, "c": 10.0, "bounds": setup.bounds}
    of_logits = zoo(setup.model, setup.x, setup.y, **arguments)
    of_probabilities = zoo(probabilities, setup.x, setup.y, output="probabilities", **arguments)
    np.testing.assert_allclose(of_probabilities.examples, of_logits.examples, atol=1e-5)


def test_stops_at_the_first_success_and_pays_no_more(linear):
    setup = linear.problem(classes=3, count=4)
    arguments = {"coordinates": 20, "steps": 100, "c": 10.0, "bounds": setup.bounds}
    first = zoo(setup.model, setup.x, setup.y, stop_at_first_success=True, **arguments)
    nearest = zoo(setup.model, setup.x, setup.y, abort_early=False, **arguments)
    assert first.success.all()
    assert (nearest.queries == 1 + 100 * 41).all()
    assert ((first.queries - 1) % 41 == 0).all()
    assert (first.queries < nearest.queries).all()
    assert (first.distances["l2"] >= nearest.distances["l2"]).all()


def test_a_failed_search_returns_the_input(linear):
    setup = linear.problem(count=3)
    result = zoo(setup.model, setup.x, setup.y, steps=2, c=1e-6, coordinates=3, bounds=setup.bounds)
    assert (result.status == "failed").all()
    np.testing.assert_array_equal(result.examples, setup.x)


def test_black_and_white_pixels_are_probed_inside_the_box_alone(linear):
    setup = linear.problem(classes=3, count=6)
    plain, seen = setup.model.logits, []
    setup.model.logits = lambda x: (seen.append((x.min(), x.max())), plain(x))[1]
    x = np.where(setup.x > 0, 1.0, 0.0)
    y = plain(x).argmax(axis=1)
    result = zoo(setup.model, x, y, steps=60, c=10.0, coordinates=20)
    assert min(low for low, _ in seen) >= 0
    assert max(high for _, high in seen) <= 1
    assert result.success.any()
    found = result.success
    assert ((result.examples[found] != x[found]) & (x[found] == 0)).any()
    assert ((result.examples[found] != x[found]) & (x[found] == 1)).any()


def test_the_search_narrows_the_constant_down(linear):
    """The best constant of a sample alone is found by bisection; one constant that is far too large overshoots."""
    setup = linear.problem(count=6)
    arguments = {"coordinates": 20, "steps": 60, "learning_rate": 0.05, "bounds": setup.bounds}
    large = zoo(setup.model, setup.x, setup.y, c=1e4, stop_at_first_success=True, **arguments)
    searched = zoo(setup.model, setup.x, setup.y, **arguments)
    assert large.success.all()
    assert searched.success.all()
    assert (searched.distances["l2"] < large.distances["l2"]).all()


@pytest.mark.parametrize("coordinates", [1, 3, 20, 128])
def test_queries_count_both_probes_of_every_coordinate(linear, coordinates):
    setup = linear.problem(count=2)
    result = zoo(
        setup.model, setup.x, setup.y, coordinates=coordinates, steps=3, c=1e-6, batch_size=7, bounds=setup.bounds
    )
    np.testing.assert_array_equal(result.queries, 1 + 3 * (2 * min(coordinates, 20) + 1))
