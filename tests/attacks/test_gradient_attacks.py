"""FGSM and PGD against what is known of linear models, and against PyTorch."""

import numpy as np
import pytest
import torch

from advcore.attacks import fgsm, pgd


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_pgd_succeeds_from_the_closed_form_distance_on(linear, norm, loss):
    setup = linear.problem()
    best = linear.nearest(setup, norm).min(axis=1)
    for i in range(len(setup.x)):
        one = slice(i, i + 1)
        for factor, expected in ((0.999, False), (1.02, True)):
            eps = float(best[i] * factor)
            result = pgd(
                setup.model, setup.x[one], setup.y[one], eps=eps, norm=norm, bounds=setup.bounds, loss=loss,
                steps=100, step_size=eps / 10,
            )  # fmt: skip
            assert result.success[0] == expected, (i, factor)
            assert result.status[0] == ("success" if expected else "failed")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_targeted_pgd_reaches_the_target_from_its_closed_form_distance_on(linear, norm):
    setup = linear.problem(classes=3)
    targets = (setup.y + 1) % 3
    w = setup.w.astype(np.float64)
    for i, (label, target) in enumerate(zip(setup.y, targets, strict=True)):
        slope = np.linalg.norm(w[label] - w[target], 1 if norm == "linf" else 2)
        lower = (setup.scores[i, label] - setup.scores[i, target]) / slope
        one = slice(i, i + 1)
        arguments = {"norm": norm, "targets": targets[one], "bounds": setup.bounds, "loss": "margin"}
        assert not pgd(setup.model, setup.x[one], setup.y[one], eps=0.999 * lower, **arguments).success[0]
        result = pgd(setup.model, setup.x[one], setup.y[one], eps=4 * lower, **arguments)
        assert result.success[0]
        assert setup.model.logits(result.examples).argmax() == target


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_is_the_step_that_pytorch_computes(linear, dtype, targeted):
    setup = linear.problem(classes=4, dtype=dtype)
    eps, bounds = 0.05, (-1.0, 1.0)
    targets = (setup.y + 1) % 4 if targeted else None
    result = fgsm(setup.model, setup.x, setup.y, eps=eps, targets=targets, bounds=bounds)

    x = torch.tensor(setup.x.astype(np.float64), requires_grad=True)
    logits = x.flatten(1) @ torch.tensor(setup.w.astype(np.float64)).T + torch.tensor(setup.b.astype(np.float64))
    labels = torch.tensor(setup.y if targets is None else targets)
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    loss.backward()
    sign = 1 if targets is None else -1
    expected = (x.detach() + sign * eps * x.grad.sign()).clamp(*bounds).numpy()
    np.testing.assert_allclose(result.examples, expected, atol=4 * np.finfo(dtype).eps)


def test_fgsm_breaks_what_lies_within_eps_and_nothing_else(linear):
    setup = linear.problem(count=60)
    best = linear.nearest(setup, "linf").min(axis=1)
    eps = float(np.median(best))
    result = fgsm(setup.model, setup.x, setup.y, eps=eps, bounds=setup.bounds)
    clear = np.abs(best / eps - 1) > 1e-9
    np.testing.assert_array_equal(result.success[clear], (best < eps)[clear])
    assert 0.4 < result.robust_accuracy < 0.6


def test_a_saturated_softmax_hides_no_gradient(linear):
    setup = linear.problem(dtype=np.float32)
    setup.model.w, setup.model.b = setup.model.w * 1e5, setup.model.b * 1e5
    eps = float(linear.nearest(setup, "linf").min(axis=1).max() * 1.1)
    assert fgsm(setup.model, setup.x, setup.y, eps=eps, bounds=setup.bounds).success.all()


def test_masked_gradients_are_reported_and_not_taken_for_robustness(linear):
    setup = linear.problem(kind=linear.Masked)
    for attack in (fgsm, pgd):
        result = attack(setup.model, setup.x, setup.y, eps=1e-3, bounds=setup.bounds)
        assert (result.status[~result.success] == "masked").all()
        assert (result.status == "masked").sum() > 8


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_reported_too(linear, value):
    setup = linear.problem()
    plain = setup.model.vjp
    setup.model.vjp = lambda x, cotangent: plain(x, cotangent) * value
    result = pgd(setup.model, setup.x, setup.y, eps=0.5, steps=3, bounds=setup.bounds)
    assert np.isfinite(result.examples).all()
    assert set(result.status) <= {"masked", "success"}
    assert "masked" in result.status


def test_more_restarts_never_lose_a_success(linear):
    setup = linear.problem(classes=5, count=40)
    plain = setup.model.logits
    setup.model.logits = lambda x: np.sin(3 * plain(x))  # many local maxima
    y = setup.model.logits(setup.x).argmax(axis=1)
    found = [
        pgd(setup.model, setup.x, y, eps=0.02, steps=3, restarts=restarts, bounds=setup.bounds).success
        for restarts in (1, 2, 6)
    ]
    assert (found[0] <= found[1]).all()
    assert (found[1] <= found[2]).all()
    assert found[0].sum() < found[2].sum()


def test_without_early_stop_the_success_of_the_largest_margin_is_kept(linear):
    setup = linear.problem(classes=3)
    arguments = {"eps": 0.3, "steps": 20, "bounds": setup.bounds}
    first = pgd(setup.model, setup.x, setup.y, **arguments)
    strong = pgd(setup.model, setup.x, setup.y, early_stop=False, restarts=2, **arguments)
    np.testing.assert_array_equal(strong.success, first.success)
    assert (strong.queries == 1 + 2 * (2 * 20 + 1)).all()  # this model's gradient takes a forward pass of its own
    assert (first.queries < strong.queries).all()

    def margin(examples):
        logits = setup.model.logits(examples)
        own = logits[np.arange(len(logits)), setup.y].copy()
        logits[np.arange(len(logits)), setup.y] = -np.inf
        return logits.max(axis=1) - own

    assert (margin(strong.examples) > margin(first.examples)).all()


def test_random_starts_fill_the_ball(linear):
    setup = linear.problem(count=200, shape=(3,), classes=2)
    setup.model.vjp = lambda x, cotangent: np.zeros_like(x)  # examples stay where they start
    for norm in ("linf", "l2"):
        result = pgd(setup.model, setup.x, setup.y, eps=0.1, norm=norm, steps=1, bounds=setup.bounds)
        radius = result.distances[norm][result.status != "misclassified"] / 0.1
        assert radius.max() <= 1
        assert abs(np.mean(radius**3) - 0.5) < 0.08  # the radius to the power of the dimension is uniform


def test_without_a_random_start_the_seed_changes_nothing(linear):
    setup = linear.problem()
    # Short of the corner where all starts would meet.
    arguments = {"eps": 0.01, "steps": 5, "step_size": 1e-3, "random_start": False, "bounds": setup.bounds}
    one, two = (pgd(setup.model, setup.x, setup.y, seed=seed, **arguments) for seed in (0, 1))
    np.testing.assert_array_equal(one.examples, two.examples)
    three, four = (pgd(setup.model, setup.x, setup.y, seed=s, **(arguments | {"random_start": True})) for s in (0, 1))
    assert (three.examples != four.examples).any()
