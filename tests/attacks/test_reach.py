"""What the attacks on a budget promise together: strength, budgets kept, nothing lost by doing more, any architecture."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcore import data, models, nn
from advcore.attacks import apgd, backward_pass, bim, fab, fgm, fgsm, pgd, square

WITHIN = {
    "apgd_l1": lambda *given, **more: apgd(*given, norm="l1", steps=5, **more),
    "apgd_l2": lambda *given, **more: apgd(*given, norm="l2", steps=5, loss="dlr", target_classes=2, **more),
    "apgd_linf": lambda *given, **more: apgd(*given, steps=5, **more),
    "bim_linf": lambda *given, **more: bim(*given, steps=4, step_size=0.3, variant="last_step", **more),
    "fab_l1": lambda *given, **more: fab(*given, norm="l1", steps=5, restarts=2, **more),
    "fab_linf": lambda *given, **more: fab(*given, norm="linf", steps=5, restarts=2, **more),
    "fgm_l2": fgm,
    "pgd_l1": lambda *given, **more: pgd(*given, norm="l1", steps=5, **more),
    "pgd_l2": lambda *given, **more: pgd(*given, norm="l2", steps=5, momentum=0.5, **more),
    "square_l2": lambda *given, **more: square(*given, norm="l2", steps=12, **more),
    "square_linf": lambda *given, **more: square(*given, steps=12, **more),
}


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("classes", "restarts"), [(2, 1), (3, 1), (10, 5)])
def test_pgd_finds_every_feasible_success_of_100_linear_models(linear, norm, classes, restarts):
    for seed in range(100):
        setup = linear.problem(classes=classes, count=1, seed=seed, kind=linear.Combined)
        best = float(linear.nearest(setup, norm).min())
        arguments = {"norm": norm, "restarts": restarts, "bounds": setup.bounds, "seed": seed}
        assert pgd(setup.model, setup.x, setup.y, eps=1.01 * best, **arguments).success.all(), seed
        assert not pgd(setup.model, setup.x, setup.y, eps=0.999 * best, **arguments).success.any(), seed


def test_pgd_in_l2_finds_what_is_feasible_in_a_box_that_binds(linear):
    for seed in range(100):
        setup = linear.problem(classes=3, count=1, seed=seed, kind=linear.Combined)
        x, label, best = setup.x[0].ravel(), setup.y[0], np.inf
        for other in set(range(3)) - {label}:
            slope, gap = setup.w[other] - setup.w[label], setup.scores[0, label] - setup.scores[0, other]
            room = np.where(slope > 0, 1 - x, x + 1)
            low, high = 0.0, 1e3
            for _ in range(100):  # the way to the boundary moves each entry by min(t |slope|, room)
                t = (low + high) / 2
                reached = (np.abs(slope) * np.minimum(t * np.abs(slope), room)).sum() >= gap
                low, high = (low, t) if reached else (t, high)
            if (np.abs(slope) * room).sum() > gap:
                best = min(best, float(np.linalg.norm(np.minimum(high * np.abs(slope), room))))
        assert pgd(setup.model, setup.x, setup.y, eps=1.01 * best, norm="l2", bounds=(-1.0, 1.0)).success.all(), seed


@pytest.mark.parametrize("name", sorted(WITHIN))
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_budget_box_and_mask_hold_to_the_last_bit(linear, name, data):
    seed = data.draw(st.integers(0, 1000))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    setup = linear.problem(classes=3, count=4, shape=(1, 3, 4), dtype=dtype, seed=seed)
    eps = data.draw(st.floats(0, 3) | st.sampled_from([0.0, 1e-300, 1e-8, 8 / 255]))
    mask = np.random.default_rng(seed).random((4, 1, 3, 4)) < data.draw(st.sampled_from([0.0, 0.5, 1.0]))
    result = WITHIN[name](setup.model, setup.x, setup.y, eps=eps, bounds=(-1.0, 1.0), mask=mask)
    assert (result.distances[name.split("_")[1]] <= eps).all()
    assert ((result.examples >= -1) & (result.examples <= 1)).all()
    assert (result.examples == setup.x)[~mask].all()


def test_more_steps_never_lose_a_success(linear):
    setup = linear.problem(classes=5, count=60)
    plain = setup.model.logits
    setup.model.logits = lambda x: np.sin(3 * plain(x))  # steps climb, fall behind the top, and climb again
    y = setup.model.logits(setup.x).argmax(axis=1)
    arguments = {"eps": 0.05, "step_size": 0.02, "bounds": setup.bounds}
    attacks = [
        lambda steps: bim(setup.model, setup.x, y, steps=steps, **arguments),
        lambda steps: bim(setup.model, setup.x, y, steps=steps, variant="last_step", **arguments),
        lambda steps: pgd(setup.model, setup.x, y, steps=steps, **arguments),
        lambda steps: pgd(setup.model, setup.x, y, steps=steps, early_stop=False, **arguments),
    ]
    for attack in attacks:
        found = [attack(steps).success for steps in (1, 2, 3, 8)]
        for fewer, more in pairwise(found):
            assert (fewer <= more).all()
        assert found[0].sum() < found[-1].sum()


def test_bim_stops_at_the_first_success_or_goes_on_to_the_last_step(linear):
    setup = linear.problem(count=30)
    eps = float(linear.nearest(setup, "linf").min(axis=1).max()) * 1.2
    arguments = {"eps": eps, "steps": 20, "step_size": eps / 10, "bounds": setup.bounds}
    first = bim(setup.model, setup.x, setup.y, **arguments)
    last = bim(setup.model, setup.x, setup.y, variant="last_step", **arguments)
    assert first.success.all()
    assert last.success.all()
    assert (first.distances["linf"] < last.distances["linf"]).any()
    np.testing.assert_allclose(last.distances["linf"], eps)
    assert (first.gradients < 20).all()
    assert (last.gradients == 20).all()


def test_bim_takes_the_steps_of_the_paper(linear):
    setup = linear.problem(count=2)
    for eps, steps in ((4 / 255, 5), (16 / 255, 20), (64 / 255, 68)):  # min(e + 4, 1.25 e)
        x = np.clip(setup.x, 0, 1)
        y = setup.model.logits(x).argmax(axis=1)
        result = bim(setup.model, x, y, eps=eps, variant="last_step")
        assert (result.gradients == steps).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fgm_takes_the_step_along_the_gradient(linear, dtype):
    setup = linear.problem(dtype=dtype)
    result = fgm(setup.model, setup.x, setup.y, eps=0.25, bounds=setup.bounds)
    slope = (setup.w[1 - setup.y] - setup.w[setup.y]).astype(np.float64)
    expected = setup.x + (0.25 * slope / np.linalg.norm(slope, axis=1, keepdims=True)).reshape(setup.x.shape)
    np.testing.assert_allclose(result.examples, expected, atol=8 * np.finfo(dtype).eps)


def test_momentum_is_that_of_the_paper(linear):
    """Gradients that turn round: m = mu m + g / ||g||_1 keeps the first direction while mu is large enough."""
    turns = []

    def vjp(x, cotangent):
        turns.append(1)
        ahead = np.ones_like(x)
        ahead[:, :2] = -1.0 if len(turns) % 2 == 0 else 1.0  # the others go on, so that nothing stands still
        return ahead * np.abs(cotangent).max()

    model = SimpleNamespace(logits=lambda x: np.tile([9.0, 0.0], (len(x), 1)), vjp=vjp, randomised=False)
    x, y = np.full((1, 4), 0.5), np.zeros(1, np.int64)
    arguments = {"eps": 0.4, "steps": 3, "step_size": 0.1, "random_start": False, "early_stop": False}
    seen, plain = [], model.logits
    model.logits = lambda x: (seen.append(x[0, 0]), plain(x))[1]
    pgd(model, x, y, momentum=0.0, **arguments)
    assert [round(v, 6) for v in seen] == [0.5, 0.5, 0.6, 0.5, 0.6, 0.5]
    turns.clear()
    seen.clear()
    pgd(model, x, y, momentum=1.0, **arguments)
    # m of the first: 1/4, 0, 1/4
    assert [round(v, 6) for v in seen] == [0.5, 0.5, 0.6, 0.6, 0.7, 0.5]


@pytest.mark.parametrize("name", ["gru_classifier", "lstm_classifier"])
def test_sequence_models_are_attacked_and_targets_reached(name):
    images = data.digits()
    network = getattr(models, name)((1, 8, 8), hidden_size=16)
    nn.fit(network, images.x_train[:600], images.y_train[:600], epochs=4, batch_size=32, optimizer=nn.Adam(0.01))
    x, y = images.x_test[:12], images.y_test[:12]
    targets = (y + 1) % 10
    for attack, more in ((fgsm, {}), (pgd, {}), (apgd, {"steps": 20}), (fab, {"steps": 10}), (square, {"steps": 200})):
        result = attack(network, x, y, eps=0.3, **more)
        predicted = network.predict(result.examples)
        np.testing.assert_array_equal(result.success, predicted != y)
        assert result.success.mean() > 0.4
        aimed = attack(network, x, y, eps=0.5, targets=targets, **more)
        np.testing.assert_array_equal(aimed.success, network.predict(aimed.examples) == targets)
        assert aimed.success.any()


@pytest.fixture(scope="module")
def images():
    return data.digits()


def trained(images, epochs=8, **more):
    network = models.mlp((1, 8, 8), hidden=(64,))
    nn.fit(network, images.x_train, images.y_train, epochs=epochs, batch_size=32, **more)
    return network


def left(result):
    return 100 * result.robust_accuracy


def scaled(network, factor):
    """Multiply the logits: what training to no loss at all, or distillation at a high temperature, ends with."""
    state = network.state_dict()
    for name in list(state)[-2:]:
        state[name] = state[name] * factor
    network.load_state_dict(state)
    return network


def test_a_loss_of_zero_hides_nothing(images):
    """Beyond a margin of 1 the hinge has no gradient, nor has a float32 softmax at logits of a hundred and more."""
    network = scaled(trained(images), 100)
    x, y = images.x_test[:100], images.y_test[:100]
    assert (network.predict(x) == y).mean() > 0.9
    assert (pgd(network, x, y, eps=0.05, loss="hinge").losses) == ("hinge", "margin")  # retried
    masked = SimpleNamespace(
        logits=network.logits, randomised=False, value_and_vjp=lambda x, cotangent: saturated(network, x, y, cotangent)
    )
    assert left(pgd(masked, x, y, eps=0.3)) > 20
    for loss in ("cross_entropy", "dlr", "margin"):
        assert left(apgd(network, x, y, eps=0.3, loss=loss, steps=20)) < 5


def saturated(network, x, y, cotangent):
    """The gradient that a user gets who differentiates the probabilities in float32."""
    logits = network.logits(x)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    weights = cotangent(logits)
    weights = shares * (weights - (weights * shares).sum(axis=1, keepdims=True))
    return logits, network.vjp(x, weights.astype(np.float32))


def test_single_step_training_hides_nothing(images):
    """Trained on FGSM from x itself with a step of eps: what looks robust to FGSM is not to steps and a margin."""

    def single_step(network, batch):
        gradient = network.loss_gradient(batch.x, batch.y)
        return np.clip(batch.x + 0.3 * np.sign(gradient), 0, 1).astype(batch.x.dtype)

    network = trained(images, epochs=20, perturb=single_step)
    x, y = images.x_test[:100], images.y_test[:100]
    assert left(apgd(network, x, y, eps=0.3, loss="dlr", steps=30)) < 5


def test_eight_levels_of_grey_hide_nothing_from_another_backward_pass(images):
    network = trained(images)

    def quantised(x):
        return (np.floor(x * 7.999) / 7).astype(x.dtype)

    x, y = images.x_test[:100], images.y_test[:100]
    masked = SimpleNamespace(
        logits=lambda x: network.logits(quantised(x)), vjp=lambda x, cotangent: np.zeros_like(x), randomised=False
    )
    standing = pgd(masked, x, y, eps=0.3)
    assert left(standing) > 20
    assert (standing.status == "masked").any()
    assert left(apgd(backward_pass(network, forward=quantised), x, y, eps=0.3, loss="dlr", steps=30)) < 5
