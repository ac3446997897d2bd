"""Optimisers step by step against PyTorch's, their bits and their state; schedules."""

import numpy as np
import pytest
import torch

import advcore
from advcore import nn
from advcore.nn import schedules
from advcore.nn.optimizers import clip_gradients

MAKERS = [
    lambda: nn.SGD(0.1),
    lambda: nn.SGD(0.1, momentum=0.9),
    lambda: nn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    lambda: nn.RMSProp(),
    lambda: nn.RMSProp(0.02, alpha=0.9, momentum=0.8, weight_decay=0.1),
    lambda: nn.Adam(0.02, weight_decay=0.1),
]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: nn.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
        (lambda: nn.SGD(0.1, momentum=0.9), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        (
            lambda: nn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        (lambda: nn.RMSProp(), lambda p: torch.optim.RMSprop(p)),
        (
            lambda: nn.RMSProp(0.02, alpha=0.9, eps=1e-4, momentum=0.8, weight_decay=0.1),
            lambda p: torch.optim.RMSprop(p, 0.02, alpha=0.9, eps=1e-4, momentum=0.8, weight_decay=0.1),
        ),
        (lambda: nn.Adam(), lambda p: torch.optim.Adam(p)),
        (
            lambda: nn.Adam(0.02, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.1),
            lambda p: torch.optim.Adam(p, 0.02, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.1),
        ),
    ],
)
def test_updates_are_pytorchs(ours, theirs):
    rng = np.random.default_rng(0)
    parameters = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5), "c": rng.standard_normal(9001)}
    tensors = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in parameters.items()}
    optimizer, reference = ours(), theirs(tensors.values())
    for _ in range(7):
        gradients = {name: rng.standard_normal(array.shape) for name, array in parameters.items()}
        kept = {name: gradient.copy() for name, gradient in gradients.items()}
        for name, tensor in tensors.items():
            tensor.grad = torch.from_numpy(gradients[name].copy())
        optimizer.step(parameters, gradients)
        reference.step()
        for name, array in parameters.items():
            np.testing.assert_allclose(array, tensors[name].detach(), rtol=1e-12, atol=1e-15)
            np.testing.assert_array_equal(gradients[name], kept[name])


def test_a_factor_scales_the_learning_rate_of_one_update():
    for make in (lambda lr: nn.SGD(lr, momentum=0.9), nn.Adam):
        ours, reference = {"p": np.ones(3)}, torch.ones(3, dtype=torch.float64, requires_grad=True)
        optimizer = make(0.1)
        theirs = (torch.optim.Adam if make is nn.Adam else lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9))(
            [reference], lr=0.1
        )
        for step in range(5):
            share = step / 5
            gradient = np.arange(3.0) - 0.7 * step
            theirs.param_groups[0]["lr"] = 0.1 * (1 + np.cos(np.pi * share)) / 2
            reference.grad = torch.from_numpy(gradient.copy())
            theirs.step()
            optimizer.step(ours, {"p": gradient}, schedules.cosine(share))
        np.testing.assert_allclose(ours["p"], reference.detach(), rtol=1e-12)


def test_float32_parameters_stay_float32():
    for optimizer in (nn.SGD(0.1, momentum=0.9, weight_decay=0.1), nn.RMSProp(), nn.Adam(weight_decay=0.1)):
        p = np.ones(3, np.float32)
        optimizer.step({"p": p}, {"p": np.ones(3, np.float32)})
        assert p.dtype == np.float32
        assert np.all(p < 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.SGD(0), "lr must be greater than 0"),
        (lambda: nn.SGD(0.1, momentum=2), "momentum must be at most 1"),
        (lambda: nn.SGD(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: nn.Adam(betas=(0.9, 1.0)), r"betas\[1\] must be less than 1"),
        (lambda: nn.Adam(betas=0.9), "betas must be a pair"),
        (lambda: nn.RMSProp(alpha=1), "alpha must be less than 1"),
        (lambda: nn.RMSProp(momentum=-1), "momentum must be at least 0"),
        (lambda: nn.Adam(eps=0), "eps must be greater than 0"),
        (lambda: nn.Adam(weight_decay=-1), "weight_decay must be at least 0"),
    ],
)
def test_bad_optimizers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def steps(optimizer, count, start=0, parameters=None, dtype=np.float64):
    """Make updates with gradients that depend on the step alone; return the parameters."""
    rng = np.random.default_rng(0)
    if parameters is None:
        parameters = {"a": rng.standard_normal((50, 700)).astype(dtype), "b": rng.standard_normal(3).astype(dtype)}
    for step in range(start, start + count):
        rng = np.random.default_rng(step)
        optimizer.step(parameters, {k: rng.standard_normal(p.shape).astype(dtype) for k, p in parameters.items()})
    return parameters


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", MAKERS)
def test_same_bits_for_any_number_of_threads_and_any_place(make, dtype):
    before, results = advcore.get_num_threads(), []
    for threads in (1, 2):
        advcore.set_num_threads(threads)
        results.append(steps(make(), 4, dtype=dtype))
    advcore.set_num_threads(before)
    np.testing.assert_array_equal(results[0]["a"], results[1]["a"])
    optimizer, piece = make(), results[0]["a"].ravel()
    rng = np.random.default_rng(0)
    part = {"a": rng.standard_normal((50, 700)).astype(dtype).ravel()[13:31].copy()}
    for step in range(4):
        gradient = np.random.default_rng(step).standard_normal((50, 700)).astype(dtype).ravel()[13:31].copy()
        optimizer.step(part, {"a": gradient})
    np.testing.assert_array_equal(part["a"], piece[13:31])


@pytest.mark.parametrize("make", MAKERS)
def test_the_state_is_saved_and_restored_exactly(make):
    whole = steps(make(), 6)
    first, second = make(), make()
    parameters = steps(first, 3)
    state = first.state_dict()
    assert state["steps"] == 3
    steps(first, 1, 3, {name: array.copy() for name, array in parameters.items()})  # the copies do not follow
    second.load_state_dict(state)
    steps(second, 3, 3, parameters)
    for name, array in whole.items():
        np.testing.assert_array_equal(parameters[name], array)
    assert second.state_dict()["steps"] == 6


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ({}, ValueError, "state must have 'steps'"),
        ({"steps": -1}, ValueError, r"state\['steps'\] must be at least 0"),
        ({"steps": 1.5}, TypeError, "must be an integer"),
        ({"steps": 1, "velocity.a": np.zeros(3)}, ValueError, "arrays of .*'mean', 'square'.*, got 'velocity.a'"),
        ({"steps": 1, "mean.a": [0.0]}, TypeError, r"state\['mean.a'\] must be a NumPy array"),
    ],
)
def test_wrong_states_are_refused(state, error, message):
    optimizer = nn.Adam()
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict() == {"steps": 0}


READ_ONLY = np.zeros(3)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("parameter", "gradient", "error", "message"),
    [
        (np.zeros(3), np.zeros(4), ValueError, r"gradients\['p'\] must have shape \(3,\), got \(4,\)"),
        (np.zeros(3), np.zeros(3, np.float32), TypeError, "must be of type float64"),
        (np.zeros(3), None, TypeError, "must be a NumPy array"),
        (np.zeros((3, 3)).T, np.zeros((3, 3)), ValueError, "must be contiguous"),
        (READ_ONLY, np.zeros(3), ValueError, "must be writeable"),
        ([0.0], np.zeros(1), TypeError, r"parameters\['p'\] must be a NumPy array"),
    ],
)
def test_wrong_arrays_are_refused_before_anything_changes(parameter, gradient, error, message):
    first, optimizer = np.ones(3), nn.Adam()
    with pytest.raises(error, match=message):
        optimizer.step({"a": first, "p": parameter}, {"a": np.ones(3), "p": gradient})
    np.testing.assert_array_equal(first, 1)
    with pytest.raises(ValueError, match="got no 'p'"):
        optimizer.step({"p": np.zeros(3)}, {})
    other = nn.Adam()
    other.load_state_dict({"steps": 1, "mean.p": np.zeros(5)})
    with pytest.raises(ValueError, match="the optimizer's state of 'p' must have shape"):
        other.step({"p": np.zeros(3)}, {"p": np.zeros(3)})


def test_strided_gradients_and_empty_parameters():
    p, want = {"p": np.ones((3, 4)), "e": np.ones((0, 4))}, {"p": np.ones((3, 4))}
    g = np.arange(12.0).reshape(4, 3).T
    nn.Adam().step(p, {"p": g, "e": np.zeros((0, 4))})
    nn.Adam().step(want, {"p": g.copy()})
    np.testing.assert_array_equal(p["p"], want["p"])


def test_small_gradients_are_not_clipped():
    rng = np.random.default_rng(0)
    gradients = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
    kept = {name: gradient.copy() for name, gradient in gradients.items()}
    total = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert clip_gradients(gradients, 2 * total) == pytest.approx(total)
    np.testing.assert_array_equal(gradients["a"], kept["a"])
    clip_gradients(gradients, total / 2)
    np.testing.assert_allclose(gradients["b"], kept["b"] / 2, rtol=1e-6)


def test_step_schedules_are_pytorchs():
    updates_an_epoch, epochs = 7, 9
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.3)
    ours = schedules.Step(epochs=epochs, step_size=2, gamma=0.3)
    for epoch in range(epochs):
        for update in range(updates_an_epoch):
            share = (epoch * updates_an_epoch + update) / (epochs * updates_an_epoch)
            assert ours(share) == pytest.approx(reference.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        reference.step()


def test_warm_up():
    warm = schedules.Warmup(part=0.2, start=0.5, then="cosine")
    assert [warm(0.0), warm(0.1), warm(0.2), warm(0.6)] == pytest.approx([0.5, 0.75, 1.0, 0.5])
    assert schedules.Warmup(then=schedules.Step(epochs=2, step_size=1))(0.9) == pytest.approx(0.1)
    for make, message in (
        (lambda: schedules.Warmup(part=0), "part must be greater than 0"),
        (lambda: schedules.Warmup(start=2), "start must be at most 1"),
        (lambda: schedules.Warmup(then="no"), "schedule must be 'constant' or 'cosine'"),
        (lambda: schedules.Step(epochs=3, step_size=0), "step_size must be at least 1"),
        (lambda: schedules.Step(epochs=0, step_size=1), "epochs must be at least 1"),
        (lambda: schedules.Step(epochs=1, step_size=1, gamma=-1), "gamma must be at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
