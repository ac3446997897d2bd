"""Training: what it learns, that it repeats itself, what it refuses."""

import functools

import numpy as np
import pytest
import torch

import advcore
from advcore import data, models, nn
from advcore.nn import losses


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
        ({"y": X.reshape(6, -1)[:, :9]}, ValueError, r"y must have shape \(6, 10\), got \(6, 9\)"),
        ({"y": np.full((6, 10), np.inf, np.float32)}, ValueError, "y must be finite.*sample 0"),
        ({"y": np.zeros((6, 10))}, TypeError, "y must be of type float32"),
        (
            {"loss": "squared"},
            TypeError,
            "y must be a NumPy array of float32 or float64, got|y must be of type float32",
        ),
        ({"clip_norm": 0}, ValueError, "clip_norm must be greater than 0"),
        ({"patience": 0, "validation": (X, Y)}, ValueError, "patience must be at least 1"),
        ({"patience": 3}, ValueError, "patience needs validation data"),
        ({"checkpoint_steps": 3}, ValueError, "checkpoint_steps needs a checkpoint"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path"),
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


def test_soft_labels_are_learnt():
    digits = data.digits()
    teacher, student = models.mlp((1, 8, 8), seed=1), models.mlp((1, 8, 8), hidden=(50,))
    nn.fit(teacher, digits.x_train, digits.y_train, epochs=5)
    soft = nn.Softmax().infer(teacher.logits(digits.x_train) / np.float32(5))
    distilled = functools.partial(losses.cross_entropy, temperature=5)
    history = nn.fit(student, digits.x_train, soft, epochs=15, optimizer=nn.Adam(1e-2), loss=distilled)
    assert nn.accuracy(student, digits.x_test, digits.y_test) > 0.9
    assert history.epochs[-1].accuracy > 0.9


def test_numbers_are_learnt():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 4)).astype(np.float32)
    y = (x[:, :2] * x[:, 2:]).astype(np.float32)
    network = models.mlp((4,), 2, hidden=(50,))
    history = nn.fit(network, x, y, epochs=60, batch_size=30, loss="squared", optimizer=nn.Adam(1e-2))
    assert history.epochs[-1].loss < 0.05 * history.epochs[0].loss
    assert history.epochs[-1].accuracy is None
    signs = np.sign(y).astype(np.float32)
    nn.fit(network, x, signs, epochs=20, batch_size=30, loss="log", optimizer=nn.Adam(1e-2))
    assert np.mean(np.sign(network.logits(x)) == signs) > 0.9


def test_patience_ends_with_the_best_epoch():
    digits = data.digits()
    seen = {}
    network = models.mlp((1, 8, 8), hidden=(8,))
    history = nn.fit(
        network,
        digits.x_train[:100],
        digits.y_train[:100],
        epochs=200,
        optimizer=nn.Adam(0.05),
        validation=(digits.x_test, digits.y_test),
        patience=3,
        callback=lambda epoch: seen.setdefault(epoch.number, network.state_dict()),
    )
    accuracies = [epoch.validation_accuracy for epoch in history.epochs]
    best = int(np.argmax(accuracies)) + 1
    assert history.best.number == best
    assert len(accuracies) == best + 3 < 200
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, seen[best][name])


def test_clipping_is_pytorchs():
    digits = data.digits()
    x, y = digits.x_train[:60].astype(np.float64), digits.y_train[:60]
    network = models.mlp((1, 8, 8), dtype=np.float64)
    module = network.to_torch()
    optimizer = torch.optim.SGD(module.parameters(), 0.5)
    order = np.random.default_rng((0, 1)).permutation(60)
    for begin in range(0, 60, 20):
        batch = order[begin : begin + 20]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(torch.from_numpy(x[batch])), torch.from_numpy(y[batch])).backward()
        assert torch.nn.utils.clip_grad_norm_(module.parameters(), 0.3) > 0.3
        optimizer.step()
    nn.fit(network, x, y, epochs=1, batch_size=20, optimizer=nn.SGD(0.5), clip_norm=0.3)
    for got, want in zip(network.parameters().values(), module.parameters(), strict=True):
        np.testing.assert_allclose(got, want.detach(), rtol=1e-10, atol=1e-12)


def test_perturb_changes_what_is_trained_on():
    digits = data.digits()
    x, y = digits.x_train[:50], digits.y_train[:50]
    batches = []

    def double(network, batch):
        batches.append(batch)
        np.testing.assert_array_equal(batch.x, x[batch.samples])
        np.testing.assert_array_equal(batch.y, y[batch.samples])
        return 2 * batch.x

    doubled, expected = (models.mlp((1, 8, 8), hidden=(8,)) for _ in range(2))
    nn.fit(doubled, x, y, epochs=2, batch_size=32, seed=4, perturb=double)
    nn.fit(expected, 2 * x, y, epochs=2, batch_size=32, seed=4)
    np.testing.assert_array_equal(doubled.logits(x), expected.logits(x))
    assert [(batch.epoch, batch.share, batch.seed) for batch in batches] == [
        (1, 0, 4),
        (1, 0.25, 4),
        (2, 0.5, 4),
        (2, 0.75, 4),
    ]
    assert sorted(np.concatenate([batch.samples for batch in batches[:2]])) == list(range(50))


def test_perturb_may_give_samples_and_targets_of_any_number():
    digits = data.digits()
    x, y = digits.x_train[:64], digits.y_train[:64]
    rows = np.eye(10, dtype=np.float32)

    def twice(network, batch):
        return np.concatenate([batch.x, batch.x]), np.concatenate([rows[batch.y], rows[batch.y]])

    replaced, expected = (models.mlp((1, 8, 8), hidden=(8,), dtype=np.float32) for _ in range(2))
    history = nn.fit(replaced, x, y, epochs=2, batch_size=32, perturb=twice)
    plain = nn.fit(expected, x, y, epochs=2, batch_size=32)
    np.testing.assert_allclose(replaced.logits(x), expected.logits(x), atol=1e-5)  # a mean does not know the number
    for ours, theirs in zip(history.epochs, plain.epochs, strict=True):
        assert (ours.loss, ours.accuracy) == pytest.approx((theirs.loss, theirs.accuracy), rel=1e-5)


@pytest.mark.parametrize(
    ("perturb", "error", "message"),
    [
        ("noise", TypeError, "perturb must be a function, got str"),
        (lambda network, batch: None, TypeError, "perturb.network, batch. must be a NumPy array"),
        (lambda network, batch: batch.x[:1], ValueError, "perturb.network, batch. must have shape"),
        (lambda network, batch: batch.x * np.float32(np.nan), ValueError, "perturb.network, batch. must be finite"),
        (lambda network, batch: (batch.x,), ValueError, "perturb.network, batch. must be a pair, got 1 values"),
        (lambda network, batch: (batch.x[0], batch.y), ValueError, r"perturb.network, batch..0. must have shape .any"),
        (lambda network, batch: (batch.x[:3], batch.y), ValueError, r"perturb.network, batch..1. must have shape .3,."),
        (lambda network, batch: (batch.x, batch.y + 9), ValueError, r"perturb.network, batch..1. must be in .0, 9."),
        (lambda network, batch: (batch.x[:0], batch.y[:0]), ValueError, "must have at least 1 sample"),
    ],
)
def test_wrong_perturbations(perturb, error, message):
    digits = data.digits()
    with pytest.raises(error, match=message):
        nn.fit(models.mlp((1, 8, 8)), digits.x_train[:8], digits.y_train[:8], epochs=1, perturb=perturb)


def test_gaussian_noise_is_for_training_alone():
    network = nn.Sequential(nn.GaussianNoise(0.3), nn.Flatten(), nn.Linear(64, 64, bias=False))
    network.parameters()["2.weight"][...] = np.eye(64)
    x = data.digits().x_test
    np.testing.assert_array_equal(network.logits(x), x.reshape(len(x), -1))
    noisy, saved = network.forward(x, np.random.default_rng(0))
    assert np.std(noisy - x.reshape(len(x), -1)) == pytest.approx(0.3, rel=0.02)
    grad = np.ones_like(noisy)
    np.testing.assert_array_equal(network.backward(saved, grad)[0].reshape(len(x), -1), grad)
    with pytest.raises(ValueError, match=r"sigma must be at least 0, got -0\.1"):
        nn.GaussianNoise(-0.1)


def test_what_a_loss_returns_is_checked_and_left_alone():
    digits, weights = data.digits(), np.zeros((50, 10), np.float32)
    weights[:, 0] = 1

    def fit(loss):
        network = models.mlp((1, 8, 8), 10, hidden=(4,))
        nn.fit(network, digits.x_train[:50], digits.y_train[:50], epochs=1, batch_size=10, loss=loss)

    fit(lambda logits, y: (logits[:, 0].copy(), weights[: len(y)]))
    np.testing.assert_array_equal(weights[:, 0], 1)
    fit(lambda logits, y: (logits[:, 0], np.broadcast_to(weights[0], logits.shape)))
    ones = np.ones(10, np.float32)
    for loss, error, message in (
        (
            lambda z, y: (np.ones((10, 10), np.float32), weights[:10]),
            ValueError,
            r"loss\(logits, targets\)\[0\] must have shape \(10,\)",
        ),
        (lambda z, y: (2.5, weights[:10]), TypeError, r"loss\(logits, targets\)\[0\] must be a NumPy array"),
        (lambda z, y: (ones, weights[:3]), ValueError, r"loss\(logits, targets\)\[1\] must have shape"),
        (lambda z, y: (ones, weights[:10].astype(np.float64)), TypeError, r"loss\(logits, targets\)\[1\]"),
        (
            lambda z, y: (ones, weights[:10] * np.float32(np.nan)),
            ValueError,
            r"loss\(logits, targets\)\[1\] must be finite",
        ),
        (lambda z, y: ones, TypeError, "must be a list or tuple"),
    ):
        with pytest.raises(error, match=message):
            fit(loss)
