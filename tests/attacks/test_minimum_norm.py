"""Minimum-norm attacks against the optimum on linear models, masks, grids and direct computations by PyTorch."""

import numpy as np
import pytest
import torch

from advcore.attacks import carlini_wagner, ddn, deepfool, fmn
from advcore.attacks._losses import without

WITHIN = 1.02
ATTACKS = {
    "carlini_wagner": lambda *a, norm, **k: carlini_wagner(
        *a, norm=norm, steps=150 if norm == "l2" else 50, search_steps=5, initial_c=0.1, **k
    ),
    "ddn": lambda *a, norm, **k: ddn(*a, **k),
    "deepfool": deepfool,
    "fmn": fmn,
}
CASES = [
    ("carlini_wagner", "l2"),
    ("carlini_wagner", "linf"),
    ("ddn", "l2"),
    *((name, norm) for name in ("deepfool", "fmn") for norm in ("l2", "linf")),
]


def optimum(slope, need, x, low, high, norm, free):
    """The length of the shortest d in the box with slope d >= need: clip(t slope) or clip(t sign(slope)), by bisection."""
    along = np.where(free, slope if norm == "l2" else np.sign(slope), 0.0)

    def step(t):
        return np.clip(x + t * along, low, high) - x

    near, far = 0.0, 1e4
    if step(far) @ slope < need:
        return np.inf
    for _ in range(80):
        middle = (near + far) / 2
        near, far = (near, middle) if step(middle) @ slope >= need else (middle, far)
    return np.linalg.norm(step(far), 2 if norm == "l2" else np.inf)


def optima(setup, norm, bounds, classes, mask=None):
    """The optimum of each sample over ``classes[i]``, those that would be a success."""
    w, x = setup.w.astype(np.float64), setup.x.reshape(len(setup.x), -1).astype(np.float64)
    free = np.ones(x.shape, bool) if mask is None else np.broadcast_to(mask, setup.x.shape).reshape(x.shape)
    return np.array([
        min(
            optimum(w[k] - w[y], z[y] - z[k], x[i], *bounds, norm, free[i])
            for k in classes[i]
        )
        for i, (z, y) in enumerate(zip(setup.scores, setup.y, strict=True))
    ])  # fmt: skip


@pytest.mark.parametrize(("name", "norm"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_within_two_percent_of_the_optimum(linear, name, norm, dtype):
    ratios = []
    for seed, (classes, bounds) in enumerate(
        [(2, (-10.0, 10.0)), (2, (-1.0, 1.0)), (5, (-1.0, 1.0)), (3, (-4.0, 4.0))]
    ):
        setup = linear.problem(classes=classes, count=25, dtype=dtype, seed=seed)
        others = [[k for k in range(classes) if k != y] for y in setup.y]
        result = ATTACKS[name](setup.model, setup.x, setup.y, norm=norm, bounds=bounds)
        assert result.success.all()
        assert result.examples.dtype == dtype
        ratios.append(result.distances[norm] / optima(setup, norm, bounds, others))
    ratios = np.concatenate(ratios)
    assert len(ratios) == 100
    assert ratios.min() > 1 - 1e-5
    assert ratios.max() <= WITHIN


@pytest.mark.parametrize(("name", "norm"), CASES)
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_gradients_whose_squares_overflow_or_vanish(linear, name, norm, scale):
    setup = linear.problem(count=4, dtype=np.float32)
    setup.model.w, setup.model.b = (setup.w * scale).astype(np.float32), (setup.b * scale).astype(np.float32)
    result = ATTACKS[name](setup.model, setup.x, setup.y, norm=norm, bounds=setup.bounds)
    assert result.success.all()
    assert (result.distances[norm] <= 1.02 * linear.nearest(setup, norm).min(axis=1)).all()


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_targets_are_reached_near_the_optimum(linear, name, norm):
    setup = linear.problem(classes=2, count=20)
    targets = 1 - setup.y
    bounds = (-1.0, 1.0)
    result = ATTACKS[name](setup.model, setup.x, setup.y, norm=norm, targets=targets, bounds=bounds)
    np.testing.assert_array_equal(setup.model.logits(result.examples).argmax(axis=1), targets)
    assert (result.distances[norm] <= WITHIN * optima(setup, norm, bounds, targets[:, np.newaxis])).all()
    several = linear.problem(classes=4, count=20)
    targets = (several.y + 2) % 4
    result = ATTACKS[name](several.model, several.x, several.y, norm=norm, targets=targets, bounds=(-10.0, 10.0))
    assert result.success.all()
    np.testing.assert_array_equal(several.model.logits(result.examples).argmax(axis=1), targets)


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_masks_are_respected_at_the_cost_that_they_must_have(linear, name, norm):
    setup = linear.problem(classes=2, count=20)
    mask = np.zeros((4, 5), bool)
    mask[:3] = True
    bounds = (-10.0, 10.0)
    result = ATTACKS[name](setup.model, setup.x, setup.y, norm=norm, mask=mask, bounds=bounds)
    np.testing.assert_array_equal(result.examples[:, 3], setup.x[:, 3])
    best = optima(setup, norm, bounds, (1 - setup.y)[:, np.newaxis], mask)
    assert result.success.all()
    assert (result.distances[norm] <= WITHIN * best).all()


@pytest.mark.parametrize(("name", "norm"), [*CASES, ("fmn", "l1"), ("fmn", "l0")])
def test_examples_on_a_grid_succeed_on_the_grid(linear, name, norm):
    setup = linear.problem(classes=3, count=15)
    x = np.rint((setup.x + 1) * 10) / 10 - 1  # 20 steps from -1 to 1
    y = setup.model.logits(x).argmax(axis=1)
    result = ATTACKS[name](setup.model, x, y, norm=norm, quantize=20, bounds=(-1.0, 1.0))
    place = (result.examples + 1) * 10
    np.testing.assert_allclose(place, np.rint(place), atol=1e-9)
    np.testing.assert_array_equal(result.success, setup.model.logits(result.examples).argmax(axis=1) != y)
    assert result.success.sum() >= 12


def test_fmn_finds_the_fewest_entries_and_the_least_sum(linear):
    setup = linear.problem(classes=2, count=30)
    slope = np.array([setup.w[1 - y] - setup.w[y] for y in setup.y])
    need = -np.sort(setup.scores, axis=1) @ np.array([1.0, -1.0])
    bounds = (-10.0, 10.0)
    least = fmn(setup.model, setup.x, setup.y, norm="l1", steps=300, bounds=bounds)
    assert (least.distances["l1"] <= 1.05 * need / np.abs(slope).max(axis=1)).all()  # all in the steepest entry
    room = np.where(slope > 0, 1 - setup.x.reshape(30, -1), 1 + setup.x.reshape(30, -1)) * np.abs(slope)
    reach = np.cumsum(-np.sort(-room, axis=1), axis=1)
    fewest = (reach < need[:, np.newaxis]).sum(axis=1) + 1
    few = fmn(setup.model, setup.x, setup.y, norm="l0", steps=300, bounds=(-1.0, 1.0))
    possible = fewest <= 20
    assert few.success[possible].all()
    assert np.mean(few.distances["l0"][possible] - fewest[possible]) <= 0.6
    with_constants = carlini_wagner(
        setup.model, setup.x, setup.y, norm="l0", steps=100, learning_rate=0.1, initial_c=1.0, bounds=(-1.0, 1.0)
    )
    assert with_constants.success[possible].all()
    assert np.mean(with_constants.distances["l0"][possible] - fewest[possible]) <= 0.6


def test_one_step_of_carlini_and_wagner_is_the_one_that_autograd_takes(linear):
    setup = linear.problem(classes=4, count=6, dtype=np.float64)
    x = setup.x * 0.9
    y = setup.model.logits(x).argmax(axis=1)
    bounds, rate, constant = (-1.0, 1.0), 0.02, 5.0
    asked = []
    plain = setup.model.logits
    setup.model.logits = lambda z: (asked.append(z.copy()), plain(z))[1]
    carlini_wagner(
        setup.model, x, y, steps=3, search_steps=1, learning_rate=rate, initial_c=constant, abort_early=False,
        bounds=bounds, batch_size=6,
    )  # fmt: skip
    asked = [z for z in asked if len(z) == 6][-4:-1]  # the last is the verification

    w = torch.atanh(torch.tensor(x) * 0.999999).requires_grad_()
    optimizer = torch.optim.Adam([w], lr=rate)
    weight, bias, labels = torch.tensor(setup.w), torch.tensor(setup.b), torch.tensor(y)
    for ours in asked:
        theirs = torch.tanh(w)
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-12)
        logits = theirs.flatten(1) @ weight.T + bias
        own = logits.gather(1, labels[:, None])[:, 0]
        other = logits.scatter(1, labels[:, None], -torch.inf).max(dim=1).values
        loss = ((theirs - torch.tensor(x)) ** 2).sum() + constant * (own - other).clamp(min=0).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_kappa_asks_for_a_margin(linear):
    setup = linear.problem(classes=3, count=15)
    found = {}
    for kappa in (0.0, 1.5):
        result = carlini_wagner(
            setup.model, setup.x, setup.y, kappa=kappa, steps=150, search_steps=6, initial_c=0.1, bounds=(-2.0, 2.0)
        )
        assert result.success.all()
        logits = setup.model.logits(result.examples)
        found[kappa] = without(logits, setup.y).max(axis=1) - logits[np.arange(15), setup.y]
    assert (found[1.5] >= 1.5).all()
    assert (found[0.0] < 0.5).all()


def test_an_early_end_saves_evaluations_and_little_else(linear):
    setup = linear.problem(classes=2, count=10)
    options = {"steps": 300, "search_steps": 4, "initial_c": 0.1, "bounds": (-2.0, 2.0)}
    early = carlini_wagner(setup.model, setup.x, setup.y, **options)
    full = carlini_wagner(setup.model, setup.x, setup.y, abort_early=False, **options)
    assert (early.queries < 0.9 * full.queries).all()
    assert (early.distances["l2"] <= 1.05 * full.distances["l2"]).all()


def test_deepfool_takes_one_step_on_a_linear_model(linear):
    setup = linear.problem(classes=4, count=20, kind=linear.Combined)
    result = deepfool(setup.model, setup.x, setup.y, bounds=setup.bounds)
    np.testing.assert_array_equal(result.gradients, 3)
    plain = deepfool(setup.model, setup.x, setup.y, overshoot=0.5, classes=2, bounds=setup.bounds)
    assert (plain.gradients >= 1).all()
    assert (plain.distances["l2"] >= result.distances["l2"] * (1 - 1e-9)).all()
