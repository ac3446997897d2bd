"""Auto-PGD: the closed form, one step against PyTorch, checkpoints, losses, classes to aim at."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from advcore.attacks import apgd
from advcore.attacks.apgd import _Runs, checkpoints


def test_checkpoints_are_those_of_the_paper():
    # p = 0, .22, .41, .57, .70, .80, .87, .93, .99 (section 3)
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sorted(checkpoints(1)) == [1]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    ("classes", "loss", "count"), [(2, "cross_entropy", 0), (2, "dlr", 0), (5, "dlr", 4), (5, "margin", 4)]
)
def test_succeeds_from_the_closed_form_distance_on(linear, norm, classes, loss, count):
    setup = linear.problem(classes=classes, count=6)
    best = linear.nearest(setup, norm).min(axis=1)
    for i in range(len(setup.x)):
        one = slice(i, i + 1)
        for factor, expected in ((0.999, False), (1.002, True)):
            result = apgd(
                setup.model, setup.x[one], setup.y[one], eps=float(best[i] * factor), norm=norm, bounds=setup.bounds,
                loss=loss, target_classes=count,
            )  # fmt: skip
            assert result.success[0] == expected, (i, factor)


def test_l1_succeeds_close_to_the_closed_form_distance(linear):
    setup = linear.problem(classes=2, count=8)
    slope = np.abs(setup.w[0] - setup.w[1]).max()
    best = np.abs(setup.scores[:, 0] - setup.scores[:, 1]) / slope
    for i in range(len(setup.x)):
        one = slice(i, i + 1)
        arguments = {"norm": "l1", "bounds": setup.bounds}
        assert not apgd(setup.model, setup.x[one], setup.y[one], eps=0.999 * best[i], **arguments).success[0]
        assert apgd(setup.model, setup.x[one], setup.y[one], eps=1.05 * best[i], **arguments).success[0]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_first_two_steps_are_those_that_pytorch_computes(linear, norm):
    setup = linear.problem(classes=4, count=5)
    seen, plain = [], setup.model.vjp
    setup.model.vjp = lambda x, cotangent: (seen.append(x.copy()), plain(x, cotangent))[1]
    eps = 0.05
    apgd(setup.model, setup.x, setup.y, eps=eps, norm=norm, steps=20, bounds=(-1.0, 1.0), early_stop=False)
    origin, w, b = (torch.tensor(a) for a in (setup.x, setup.w, setup.b))

    def project(x):
        if norm == "linf":
            return torch.minimum(torch.maximum(x, origin - eps), origin + eps).clamp(-1, 1)
        low, high = torch.zeros(len(x), 1, 1, dtype=x.dtype), torch.ones(len(x), 1, 1, dtype=x.dtype)
        for _ in range(60):  # the nearest point of ball and box is on the way to x, clipped
            middle = (low + high) / 2
            inside = ((origin + middle * (x - origin)).clamp(-1, 1) - origin).flatten(1).norm(dim=1) <= eps
            low = torch.where(inside[:, None, None], middle, low)
            high = torch.where(inside[:, None, None], high, middle)
        return (origin + low * (x - origin)).clamp(-1, 1)

    def ahead(x):
        x = x.clone().requires_grad_()
        torch.nn.functional.cross_entropy(x.flatten(1) @ w.T + b, torch.tensor(setup.y), reduction="sum").backward()
        d = x.grad.sign() if norm == "linf" else x.grad / x.grad.flatten(1).norm(dim=1)[:, None, None]
        return project(x.detach() + 2 * eps * d)

    start = torch.tensor(seen[0])
    first = ahead(start)
    second = project(first + 0.75 * (ahead(first) - first) + 0.25 * (first - start))
    np.testing.assert_allclose(seen[1], first, atol=1e-12)
    np.testing.assert_allclose(seen[2], second, atol=1e-12)


def test_starts_on_the_surface_of_the_ball(linear):
    setup = linear.problem(count=6)
    seen, plain = [], setup.model.vjp
    setup.model.vjp = lambda x, cotangent: (seen.append(x.copy()), plain(x, cotangent))[1]
    for norm, order in (("linf", np.inf), ("l2", 2), ("l1", 1)):
        seen.clear()
        apgd(setup.model, setup.x, setup.y, eps=0.1, norm=norm, steps=1, bounds=setup.bounds)
        radius = np.linalg.norm((seen[0] - setup.x[: len(seen[0])]).reshape(len(seen[0]), -1), order, axis=1)
        np.testing.assert_allclose(radius, 0.1, rtol=1e-9)


@pytest.mark.parametrize(
    ("classes", "count", "expected"),
    [(2, 0, "margin"), (2, 9, "margin"), (3, 0, "dlr"), (3, 9, "dlr"), (4, 0, "dlr"), (4, 9, "dlr_targeted")],
)
def test_the_result_says_which_loss_was_climbed(linear, classes, count, expected):
    setup = linear.problem(classes=classes, count=4)
    result = apgd(
        setup.model, setup.x, setup.y, eps=0.01, loss="dlr", target_classes=count, steps=3, bounds=setup.bounds
    )
    assert result.losses == (expected,)


def test_aims_at_the_likeliest_classes_in_turn(linear):
    """Each class gets a run of its own: 3 classes cost three runs, and those of one class are among those of three."""
    setup = linear.problem(classes=5, count=30)
    arguments = {"eps": 0.05, "loss": "dlr", "steps": 5, "bounds": setup.bounds}
    one, three = (apgd(setup.model, setup.x, setup.y, target_classes=n, **arguments) for n in (1, 3))
    failed = ~three.success
    assert failed.any()
    assert (three.gradients[failed] == 15).all()
    assert (one.gradients[failed] == 5).all()
    assert (one.success <= three.success).all()


def test_dlr_does_not_feel_the_scale_of_the_logits(linear):
    setup = linear.problem(classes=4, dtype=np.float64)
    arguments = {"eps": 0.05, "loss": "dlr", "steps": 10, "bounds": setup.bounds}
    plain = apgd(setup.model, setup.x, setup.y, **arguments)
    setup.model.w, setup.model.b = setup.model.w * 1024, setup.model.b * 1024
    np.testing.assert_allclose(apgd(setup.model, setup.x, setup.y, **arguments).examples, plain.examples, atol=1e-9)


def test_more_restarts_never_lose_a_success(linear):
    setup = linear.problem(classes=5, count=40)
    plain = setup.model.logits
    setup.model.logits = lambda x: np.sin(3 * plain(x))  # many local maxima
    y = setup.model.logits(setup.x).argmax(axis=1)
    one, three = (
        apgd(setup.model, setup.x, y, eps=0.02, steps=4, restarts=n, bounds=setup.bounds).success for n in (1, 3)
    )
    assert (one <= three).all()
    assert one.sum() < three.sum()


def test_budgets_stop_a_sample_and_no_more(linear):
    setup = linear.problem(count=6)
    arguments = {"eps": 1e-6, "steps": 20, "restarts": 3, "bounds": setup.bounds}
    result = apgd(setup.model, setup.x, setup.y, max_evaluations=30, **arguments)
    assert (result.queries + result.gradients <= 30).all()
    assert not result.success.any()


@pytest.mark.parametrize(
    ("losses", "halved"),
    [(range(23), False), ([0.0] * 23, True), ([50, *range(22)], True), ([0, 1] * 11 + [2], True)],
    ids=["every step raised the loss", "nothing moved", "raised, but never above the start", "half of the steps"],
)
def test_the_first_checkpoint_halves_the_step_by_the_papers_two_conditions(losses, halved):
    problem = SimpleNamespace(region=SimpleNamespace(eps=0.1, norm="linf"))
    x = np.zeros((1, 4), np.float32)
    runs = _Runs(problem, np.arange(1), x, None)
    for loss in losses:
        runs.note(np.zeros_like(x), np.array([float(loss)]))
    runs.check(22)
    assert runs.size[0] == (0.1 if halved else 0.2)
