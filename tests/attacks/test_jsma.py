"""JSMA: the pair that it takes against all pairs, the direction, the share of features."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcore.attacks import jsma
from advcore.attacks.jsma import salient_pairs


def brute_force(a, b, free):
    best = (0.0, None)
    for p, q in itertools.combinations(np.flatnonzero(free), 2):
        if a[p] + a[q] > 0 and b[p] + b[q] > 0 and (a[p] + a[q]) * (b[p] + b[q]) > best[0]:
            best = ((a[p] + a[q]) * (b[p] + b[q]), {p, q})
    return best


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(0, 14), st.sampled_from(["normal", "opposed", "small integers"]))
def test_the_pair_is_the_most_salient_of_all(seed, size, kind):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, 3, size))
    if kind == "opposed":  # nearly all features are candidates
        b = 1 - a + 0.01 * b
    elif kind == "small integers":  # many ties
        a, b = rng.integers(-2, 3, (2, 3, size)).astype(np.float64)
    free = rng.random((3, size)) < 0.8
    pairs, found = salient_pairs(a, b, free)
    for i in range(3):
        saliency, pair = brute_force(a[i], b[i], free[i])
        assert found[i] == (pair is not None)
        if found[i]:
            p, q = pairs[i]
            assert p != q
            assert free[i, p]
            assert free[i, q]
            assert (a[i, p] + a[i, q]) * (b[i, p] + b[i, q]) == saliency


def test_pairs_of_many_candidates_are_compared_in_parts():
    a = np.linspace(0, 1, 2000)[np.newaxis].repeat(3, axis=0)
    pairs, found = salient_pairs(a, 1.0 - a**2, np.ones(a.shape, bool))
    assert found.all()
    total = 2 * a[0] * 2 * (1 - a[0] ** 2)
    best = (a[0, pairs].sum(axis=1)) * (1 - a[0, pairs] ** 2).sum(axis=1)
    np.testing.assert_allclose(best, total.max(), rtol=1e-5)


@pytest.mark.parametrize("theta", [1.0, -1.0, 0.25])
@pytest.mark.parametrize("targeted", [False, True])
def test_first_step_on_a_linear_model_changes_the_most_salient_pair(linear, theta, targeted):
    setup = linear.problem(classes=4, count=12)
    targets = (setup.y + 1) % 4 if targeted else None
    result = jsma(setup.model, setup.x, setup.y, theta=theta, gamma=0.1, targets=targets, bounds=(-3.0, 3.0))
    assert (result.distances["l0"] <= 2).all()
    plain = []
    setup.model.logits = lambda x: (plain.append(x.copy()), x.reshape(len(x), -1) @ setup.w.T + setup.b)[1]
    jsma(setup.model, setup.x, setup.y, theta=theta, gamma=0.1, targets=targets, bounds=(-3.0, 3.0))
    moved = plain[2]  # after the inputs themselves and their gradients
    for i in range(12):
        label = setup.y[i] if targets is None else targets[i]
        sign = np.sign(theta) * (1 if targeted else -1)
        a, b = sign * setup.w[label], -sign * (setup.w.sum(axis=0) - setup.w[label])
        _, pair = brute_force(a, b, np.ones(20, bool))
        change = (moved[i] - setup.x[i]).ravel()
        assert set(np.flatnonzero(change)) == pair
        np.testing.assert_allclose(change[list(pair)], theta)


def test_gamma_bounds_the_share_of_features_and_the_box_ends_their_moves(linear):
    setup = linear.problem(classes=3, count=40)
    shares = []
    for gamma in (0.1, 0.3, 1.0):
        result = jsma(setup.model, setup.x, setup.y, gamma=gamma, theta=5.0, bounds=(-1.0, 1.0))
        assert (result.distances["l0"] <= gamma * 20).all()
        changed = result.examples != setup.x
        assert (result.examples[changed] == 1.0).all()
        shares.append(result.success.mean())
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_masked_features_are_never_chosen(linear):
    setup = linear.problem(classes=3, count=20)
    mask = np.zeros((4, 5), bool)
    mask[1:3] = True
    result = jsma(setup.model, setup.x, setup.y, gamma=1.0, mask=mask, bounds=(-2.0, 2.0))
    assert result.success.any()
    assert (result.examples == setup.x)[:, ~mask].all()
