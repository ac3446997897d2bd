"""Optimisers step by step against PyTorch's; training: what it learns, that it repeats itself, what it refuses."""

import numpy as np
import pytest
import torch

import advcore
from advcore import data, models, nn
from advcore.nn import schedules
from advcore.nn.optimizers import clip_gradients


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: nn.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
        (lambda: nn.SGD(0.1, momentum=0.9), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        (
            lambda: nn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        (lambda: nn.Adam(), lambda p: torch.optim.Adam(p)),
        (lambda: nn.RMSProp(), lambda p: torch.optim.RMSprop(p)),
        (
            lambda: nn.RMSProp(0.02, alpha=0.9, eps=1e-5, momentum=0.8, weight_decay=0.1),
            lambda p: torch.optim.RMSprop(p, 0.02, alpha=0.9, eps=1e-5, momentum=0.8, weight_decay=0.1),
        ),
        (
            lambda: nn.Adam(0.02, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.1),
            lambda p: torch.optim.Adam(p, 0.02, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.1),
        ),
    ],
)
def test_updates_are_pytorchs(ours, theirs):
    rng = np.random.default_rng(0)
    parameters = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
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


def test_fit_asks_the_schedule_for_every_update():
    digits = data.digits()
    shares = []
    network = models.mlp((1, 8, 8), 10, hidden=(8,))
    nn.fit(
        network,
        digits.x_train[:100],
        digits.y_train[:100],
        epochs=2,
        batch_size=32,
        schedule=lambda share: shares.append(share) or 0.0,
    )
    assert shares == [i / 8 for i in range(8)]
    fresh = models.mlp((1, 8, 8), 10, hidden=(8,))
    for name, array in network.parameters().items():
        np.testing.assert_array_equal(array, fresh.parameters()[name])  # a factor of 0 moves nothing


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        ("linear", ValueError, "schedule must be 'constant' or 'cosine', got 'linear'"),
        (lambda share: -1.0, ValueError, "schedule must be at least 0, got -1"),
        (lambda share: None, TypeError, "schedule must be a number, got NoneType"),
    ],
)
def test_wrong_schedules(schedule, error, message):
    digits = data.digits()
    with pytest.raises(error, match=message):
        nn.fit(models.mlp((1, 8, 8), 10), digits.x_train[:8], digits.y_train[:8], epochs=1, schedule=schedule)


def test_float32_parameters_stay_float32():
    for optimizer in (nn.SGD(0.1, momentum=0.9, weight_decay=0.1), nn.Adam(weight_decay=0.1), nn.RMSProp(momentum=0.9)):
        p = np.ones(3, np.float32)
        optimizer.step({"p": p}, {"p": np.ones(3, np.float32)})
        assert p.dtype == np.float32
        assert np.all(p < 1)


@pytest.mark.parametrize("norm", [0.01, 100.0])
def test_clipped_gradients_are_pytorchs(norm):
    rng = np.random.default_rng(0)
    gradients = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
    tensors = [torch.zeros(array.shape, dtype=torch.float64) for array in gradients.values()]
    for tensor, array in zip(tensors, gradients.values(), strict=True):
        tensor.grad = torch.from_numpy(array.copy())
    assert clip_gradients(gradients, norm) == pytest.approx(float(torch.nn.utils.clip_grad_norm_(tensors, norm)))
    for tensor, array in zip(tensors, gradients.values(), strict=True):
        np.testing.assert_allclose(array, tensor.grad, rtol=1e-4)  # torch adds 1e-6 to the norm


def test_fit_clips_what_the_optimizer_is_given():
    digits, norms = data.digits(), []

    class Watch(nn.SGD):
        def step(self, parameters, gradients, factor=1.0):
            norms.append(np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in gradients.values())))

    for clip_norm in (None, 0.01):
        network = models.mlp((1, 8, 8), 10, hidden=(8,))
        nn.fit(network, digits.x_train[:64], digits.y_train[:64], epochs=1, optimizer=Watch(), clip_norm=clip_norm)
    assert norms[0] > 0.1
    assert norms[1] == pytest.approx(0.01, rel=1e-5)
    with pytest.raises(ValueError, match="clip_norm must be greater than 0, got 0"):
        nn.fit(network, digits.x_train, digits.y_train, epochs=1, clip_norm=0.0)


def test_one_epoch_is_pytorchs():
    """The same batches, the same updates: parameters after an epoch agree in float64."""
    digits = data.digits()
    x, y = digits.x_train[:100].astype(np.float64), digits.y_train[:100]
    network = models.small_cnn(dtype=np.float64, seed=2)
    module = network.to_torch()
    optimizer = torch.optim.Adam(module.parameters())
    order = np.random.default_rng((5, 1)).permutation(100)
    for begin in range(0, 100, 32):
        batch = order[begin : begin + 32]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(torch.from_numpy(x[batch])), torch.from_numpy(y[batch])).backward()
        optimizer.step()
    nn.fit(network, x, y, epochs=1, batch_size=32, seed=5)
    for got, want in zip(network.parameters().values(), module.parameters(), strict=True):
        np.testing.assert_allclose(got, want.detach(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "epochs", "optimizer", "loss", "least"),
    [
        (lambda: models.mlp((1, 8, 8)), 8, nn.Adam(2e-3), "cross_entropy", 0.94),
        (lambda: models.mlp((1, 8, 8), hidden=(50,)), 8, nn.SGD(0.05, momentum=0.9), "multiclass_hinge", 0.93),
        (lambda: models.small_cnn(), 10, nn.Adam(3e-3), "cross_entropy", 0.95),
        (lambda: models.gru_classifier((1, 8, 8)), 12, nn.Adam(5e-3), "cross_entropy", 0.93),
        (lambda: models.lstm_classifier((1, 8, 8)), 12, nn.Adam(1e-2), "cross_entropy", 0.93),
    ],
    ids=["mlp", "mlp-hinge", "small_cnn", "gru", "lstm"],
)
def test_digits_are_learnt(make, epochs, optimizer, loss, least):
    digits = data.digits()
    network = make()
    history = nn.fit(
        network,
        digits.x_train,
        digits.y_train,
        epochs=epochs,
        batch_size=64,
        optimizer=optimizer,
        loss=loss,
        validation=(digits.x_test, digits.y_test),
    )
    last = history.epochs[-1]
    assert [epoch.number for epoch in history.epochs] == list(range(1, epochs + 1))
    assert last.loss < history.epochs[0].loss
    assert last.validation_accuracy == nn.accuracy(network, digits.x_test, digits.y_test)
    assert last.validation_accuracy >= least


@pytest.mark.parametrize("name", ["small_cnn", "gru_classifier"])
def test_training_repeats_itself_for_any_number_of_threads(name):
    digits = data.digits()
    x, y = digits.x_train[:150], digits.y_train[:150]
    before = advcore.get_num_threads()
    states = []
    for threads, seed in ((1, 0), (2, 0), (1, 1)):
        advcore.set_num_threads(threads)
        network = getattr(models, name)((1, 8, 8))
        nn.fit(network, x, y, epochs=2, batch_size=40, seed=seed)
        states.append(network.state_dict())
    advcore.set_num_threads(before)
    for parameter, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][parameter])
        assert not np.array_equal(array, states[2][parameter])


def test_dropout_repeats_itself():
    digits = data.digits()
    results = []
    for _ in range(2):
        network = models.mlp((1, 8, 8), dropout=0.5)
        nn.fit(network, digits.x_train[:100], digits.y_train[:100], epochs=2)
        results.append(network.logits(digits.x_test[:5]))
    np.testing.assert_array_equal(*results)


def test_an_optimizer_goes_on_and_callbacks_are_told():
    digits = data.digits()
    x, y = digits.x_train[:64], digits.y_train[:64]
    once, twice = models.mlp((1, 8, 8)), models.mlp((1, 8, 8))
    seen = []
    history = nn.fit(once, x, y, epochs=2, batch_size=64, callback=seen.append)
    assert history.epochs == seen
    assert history.seconds == sum(epoch.seconds for epoch in seen) > 0
    assert seen[0].validation_accuracy is None
    optimizer = nn.Adam()
    for _ in range(2):
        nn.fit(twice, x, y, epochs=1, batch_size=64, optimizer=optimizer)
    # One batch an epoch: only the order of its samples differs.
    np.testing.assert_allclose(once.logits(x), twice.logits(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64, ">i4"])
def test_labels_of_any_integer_type(dtype):
    digits = data.digits()
    network = models.mlp((1, 8, 8))
    nn.fit(network, digits.x_train[:20], digits.y_train[:20].astype(dtype), epochs=1)


def test_progress_bar(capsys):
    digits = data.digits()
    nn.fit(models.mlp((1, 8, 8)), digits.x_train[:300], digits.y_train[:300], epochs=2, progress=True)
    assert "6/6" in capsys.readouterr().out


def test_divergence_is_told():
    digits = data.digits()
    network = models.mlp((1, 8, 8))
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"the loss became (nan|inf) in epoch \d+, batch \d+"),
    ):
        nn.fit(network, digits.x_train, digits.y_train, epochs=20, optimizer=nn.SGD(1e20))


X, Y = np.zeros((6, 1, 8, 8), np.float32), np.arange(6)


def with_nan(sample):
    x = X.copy()
    x[sample, 0, 3, 3] = np.nan
    return x


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": with_nan(4)}, ValueError, "x must be finite, got NaN or infinity in sample 4"),
        ({"x": X[:, 0, 0]}, ValueError, "x does not fit layer 1"),
        ({"x": X[:0], "y": Y[:0]}, ValueError, "x must have at least 1 sample"),
        ({"x": X.astype(np.float64)}, TypeError, "x must be of type float32"),
        ({"y": Y[:5]}, ValueError, r"y must have shape \(6,\), got \(5,\)"),
        ({"y": Y + 5}, ValueError, r"y must be in \[0, 9\], got 10 at index 5"),
        ({"y": Y * 1.0}, TypeError, "y must be an array of integers"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"loss": "mse"}, ValueError, "loss must be"),
        ({"optimizer": "adam"}, TypeError, "optimizer must be of type Optimizer, got str 'adam'"),
        ({"progress": 1}, TypeError, "progress must be True or False"),
        ({"validation": X}, TypeError, r"validation must be a pair \(x, y\)"),
        ({"validation": (X, Y[:2])}, ValueError, r"validation\[1\] must have shape \(6,\)"),
        ({"validation": (with_nan(2), Y)}, ValueError, r"validation\[0\] must be finite.*sample 2"),
        ({"network": object()}, TypeError, "network must be of type Network"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    network = models.mlp((1, 8, 8))
    before = network.state_dict()
    with pytest.raises(error, match=message):
        nn.fit(**({"network": network, "x": X, "y": Y, "epochs": 1} | arguments))
    for name, array in network.parameters().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.SGD(0), "lr must be greater than 0"),
        (lambda: nn.SGD(0.1, momentum=2), "momentum must be at most 1"),
        (lambda: nn.SGD(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: nn.Adam(betas=(0.9, 1.0)), r"betas\[1\] must be less than 1"),
        (lambda: nn.Adam(betas=0.9), "betas must be a pair"),
        (lambda: nn.Adam(eps=0), "eps must be greater than 0"),
        (lambda: nn.Adam(weight_decay=-1), "weight_decay must be at least 0"),
    ],
)
def test_bad_optimizers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
