"""What all attacks promise: nobody certifies himself, every evaluation is booked, a sample does not feel its batch."""

import numpy as np
import pytest

from advcore.attacks import (
    apgd,
    available,
    bim,
    boundary,
    carlini_wagner,
    ddn,
    deepfool,
    fab,
    fgm,
    fgsm,
    fmn,
    gaussian_noise,
    hop_skip_jump,
    jsma,
    nes,
    pgd,
    simba,
    spsa,
    square,
    uniform_noise,
    zoo,
)
from advcore.attacks._arguments import check
from advcore.attacks._protocol import run

ATTACKS = {
    "carlini_wagner_l0": lambda model, x, y, **more: carlini_wagner(
        model, x, y, norm="l0", steps=20, learning_rate=0.1, initial_c=1e4, **more
    ),
    "carlini_wagner_l2": lambda model, x, y, **more: carlini_wagner(
        model, x, y, steps=25, search_steps=3, initial_c=1.0, learning_rate=0.03, **more
    ),
    "carlini_wagner_linf": lambda model, x, y, **more: carlini_wagner(
        model, x, y, norm="linf", steps=20, initial_c=5.0, learning_rate=0.03, **more
    ),
    "ddn": lambda model, x, y, **more: ddn(model, x, y, steps=20, **more),
    "deepfool_l2": lambda model, x, y, **more: deepfool(model, x, y, **more),
    "deepfool_linf": lambda model, x, y, **more: deepfool(model, x, y, norm="linf", **more),
    "apgd": lambda model, x, y, **more: apgd(model, x, y, eps=0.1, steps=8, restarts=2, **more),
    "apgd_l1": lambda model, x, y, **more: apgd(model, x, y, eps=0.8, norm="l1", steps=8, **more),
    "apgd_l2": lambda model, x, y, **more: apgd(
        model, x, y, eps=0.4, norm="l2", steps=8, loss="dlr", target_classes=2, **more
    ),
    "bim": lambda model, x, y, **more: bim(model, x, y, eps=0.1, step_size=0.02, steps=7, **more),
    "bim_b": lambda model, x, y, **more: bim(
        model, x, y, eps=0.1, step_size=0.02, steps=7, variant="last_step", **more
    ),
    "fab_l1": lambda model, x, y, **more: fab(model, x, y, norm="l1", steps=6, target_classes=1, **more),
    "fab_l2": lambda model, x, y, **more: fab(model, x, y, norm="l2", eps=0.4, steps=6, restarts=2, **more),
    "fab_linf": lambda model, x, y, **more: fab(model, x, y, steps=6, **more),
    "fgm": lambda model, x, y, **more: fgm(model, x, y, eps=0.4, **more),
    "fgsm": lambda model, x, y, **more: fgsm(model, x, y, eps=0.1, **more),
    "fmn_l2": lambda model, x, y, **more: fmn(model, x, y, steps=20, **more),
    "fmn_linf": lambda model, x, y, **more: fmn(model, x, y, norm="linf", steps=20, **more),
    "fmn_l1": lambda model, x, y, **more: fmn(model, x, y, norm="l1", steps=20, **more),
    "fmn_l0": lambda model, x, y, **more: fmn(model, x, y, norm="l0", steps=20, **more),
    "jsma": lambda model, x, y, **more: jsma(model, x, y, gamma=0.5, **more),
    "pgd_linf": lambda model, x, y, **more: pgd(model, x, y, eps=0.1, steps=7, restarts=2, **more),
    "pgd_l2": lambda model, x, y, **more: pgd(model, x, y, eps=0.4, norm="l2", steps=7, restarts=2, **more),
    "pgd_l1": lambda model, x, y, **more: pgd(model, x, y, eps=0.8, norm="l1", steps=7, restarts=2, **more),
    "pgd_momentum": lambda model, x, y, **more: pgd(model, x, y, eps=0.1, steps=7, momentum=0.9, **more),
    "square_l2": lambda model, x, y, **more: square(model, x, y, eps=0.6, norm="l2", steps=60, **more),
    "square_linf": lambda model, x, y, **more: square(model, x, y, eps=0.1, steps=60, **more),
    "zoo": lambda model, x, y, **more: zoo(model, x, y, steps=30, coordinates=6, search_steps=3, initial_c=1.0, **more),
    "boundary": lambda model, x, y, **more: boundary(model, x, y, steps=20, **more),
    "gaussian_noise": lambda model, x, y, **more: gaussian_noise(model, x, y, eps=0.8, draws=100, **more),
    "hop_skip_jump": lambda model, x, y, **more: hop_skip_jump(model, x, y, steps=3, evaluations=10, **more),
    "nes": lambda model, x, y, **more: nes(model, x, y, eps=0.1, steps=5, pairs=6, **more),
    "simba": lambda model, x, y, **more: simba(model, x, y, steps=12, **more),
    "spsa": lambda model, x, y, **more: spsa(model, x, y, eps=0.4, norm="l2", steps=5, pairs=6, **more),
    "uniform_noise": lambda model, x, y, **more: uniform_noise(model, x, y, eps=0.2, draws=100, **more),
}
BUDGETS = {
    "fab_l2": ("l2", 0.4),
    "square_l2": ("l2", 0.6),
    "square_linf": ("linf", 0.1),
    "apgd": ("linf", 0.1),
    "apgd_l1": ("l1", 0.8),
    "apgd_l2": ("l2", 0.4),
    "bim": ("linf", 0.1),
    "bim_b": ("linf", 0.1),
    "fgm": ("l2", 0.4),
    "fgsm": ("linf", 0.1),
    "pgd_linf": ("linf", 0.1),
    "pgd_l2": ("l2", 0.4),
    "pgd_l1": ("l1", 0.8),
    "pgd_momentum": ("linf", 0.1),
}
BUDGETS |= {"gaussian_noise": ("l2", 0.8), "nes": ("linf", 0.1), "spsa": ("l2", 0.4), "uniform_noise": ("linf", 0.2)}
MINIMAL = set(ATTACKS) - set(BUDGETS)  # that may succeed wherever success is possible


@pytest.fixture(params=sorted(ATTACKS))
def name(request):
    return request.param


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_result_is_what_it_says(linear, name, dtype, targeted):
    setup = linear.problem(classes=3, count=40, dtype=dtype)
    y = setup.y.copy()
    y[:4] = (y[:4] + 1) % 3  # four are misclassified from the start
    targets = (setup.y + 1 + (y != setup.y)) % 3 if targeted else None
    x = setup.x.copy()
    result = ATTACKS[name](setup.model, x, y, targets=targets, bounds=(-1.0, 1.0))
    np.testing.assert_array_equal(x, setup.x)
    assert result.examples.dtype == dtype
    assert result.examples.shape == x.shape
    assert ((result.examples >= -1) & (result.examples <= 1)).all()

    predicted = setup.model.logits(result.examples).argmax(axis=1)
    np.testing.assert_array_equal(result.success, predicted != y if targets is None else predicted == targets)
    assert result.success.any()
    assert not result.success.all() or name in MINIMAL
    np.testing.assert_array_equal(result.status == "failed", ~result.success)
    np.testing.assert_array_equal(result.status[:4] == "misclassified", not targeted)

    difference = (result.examples.astype(np.float64) - x).reshape(len(x), -1)
    for norm, order in (("l0", 0), ("l1", 1), ("l2", 2), ("linf", np.inf)):
        assert result.distances[norm].dtype == np.float64
        np.testing.assert_allclose(result.distances[norm], np.linalg.norm(difference, order, axis=1), rtol=1e-12)
    assert (result.distances["linf"][result.status == "misclassified"] == 0).all()
    if name in BUDGETS:
        norm, eps = BUDGETS[name]
        assert (result.distances[norm] <= eps).all()
    assert result.seconds > 0


@pytest.mark.parametrize("kind", ["Linear", "Combined"])
def test_ledger_says_what_the_model_saw_sample_by_sample(linear, name, kind):
    setup = linear.problem(classes=3, count=10, kind=getattr(linear, kind))
    setup.y[0] = (setup.y[0] + 1) % 3
    result = ATTACKS[name](setup.model, setup.x, setup.y, bounds=setup.bounds)
    assert setup.model.forwards == result.queries.sum() + result.verification.sum()
    assert setup.model.backwards == result.gradients.sum()
    assert (result.queries[0], result.gradients[0], result.verification[0]) == (1, 0, 0)
    np.testing.assert_array_equal(result.verification[1:], 1)
    for i in range(len(setup.x)):
        one = slice(i, i + 1)
        alone = linear.problem(classes=3, count=10, kind=getattr(linear, kind)).model
        ATTACKS[name](alone, setup.x[one], setup.y[one], sample_ids=np.array([i]), bounds=setup.bounds)
        assert alone.forwards == result.queries[i] + result.verification[i]
        assert alone.backwards == result.gradients[i]


def test_batch_order_and_neighbours_change_no_bit(linear, name):
    setup = linear.problem(classes=3, count=9, dtype=np.float32)
    want = ATTACKS[name](setup.model, setup.x, setup.y, bounds=setup.bounds)
    order = np.random.default_rng(0).permutation(9)
    for batch_size in (1, 2, 7, 500):
        got = ATTACKS[name](
            setup.model, setup.x[order], setup.y[order], sample_ids=order, batch_size=batch_size, bounds=setup.bounds
        )
        np.testing.assert_array_equal(got.examples, want.examples[order])
        np.testing.assert_array_equal(got.queries, want.queries[order])
        np.testing.assert_array_equal(got.status, want.status[order])


def test_the_model_never_gets_more_than_batch_size_rows(linear, name):
    for batch_size in (1, 5, 16):
        setup = linear.problem(count=12)
        ATTACKS[name](setup.model, setup.x, setup.y, batch_size=batch_size, bounds=setup.bounds)
        assert 0 < setup.model.largest <= batch_size


def test_same_seed_same_bits(linear, name):
    setup = linear.problem(classes=3)
    runs = [ATTACKS[name](setup.model, setup.x, setup.y, seed=5, bounds=setup.bounds) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].examples, runs[1].examples)


@pytest.mark.parametrize("norm", ["linf", "l2", None])
def test_what_an_algorithm_proposes_is_projected_and_judged_afresh(linear, norm):
    setup = linear.problem(classes=3)
    given = check("zoo", setup.model, setup.x, setup.y, {"bounds": (-1.0, 1.0), "batch_size": 5})
    result = run(lambda it: it.submit(it.x + 100, np.arange(len(it.x))), given, norm=norm, eps=0.5)
    assert result.examples.max() <= 1
    if norm is not None:
        assert (result.distances[norm] <= 0.5).all()
    wrong = setup.model.logits(result.examples).argmax(axis=1) != setup.y
    np.testing.assert_array_equal(result.success, wrong)
    assert 0 < wrong.sum() < len(wrong)


def test_empty_batch_gives_an_empty_result(linear, name):
    setup = linear.problem(count=3)
    result = ATTACKS[name](setup.model, setup.x[:0], setup.y[:0], bounds=setup.bounds)
    assert result.examples.shape == (0, 4, 5)
    assert result.success.shape == result.status.shape == result.queries.shape == (0,)
    assert setup.model.calls == 0
    assert np.isnan(result.robust_accuracy)


def test_strided_inputs_give_the_same(linear, name):
    setup = linear.problem(count=4)
    wide = np.zeros((8, 4, 10))
    wide[::2, :, ::2] = setup.x
    want = ATTACKS[name](setup.model, setup.x, setup.y, bounds=setup.bounds)
    got = ATTACKS[name](setup.model, wide[::2, :, ::2], setup.y, bounds=setup.bounds)
    np.testing.assert_array_equal(got.examples, want.examples)


def test_available_lists_every_attack():
    from advcore import attacks

    names = [row["name"] for row in available()]
    assert names == sorted(names)
    assert set(names) <= set(attacks.__all__)
    assert all(set(row) == {"name", "norm", "access", "targeting", "cost"} for row in available())
