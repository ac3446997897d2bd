"""Defensive distillation: its gradients vanish, and it falls to whoever looks past that."""

import numpy as np
import pytest

from advcore import attacks, defenses, models, nn, ops

T = 100.0
EPS = 0.15


def distilled(digits, seed, epochs=15):
    teacher, student = (models.wong_mnist((1, 8, 8), seed=seed) for _ in range(2))
    options = {"lr": 1e-2, "schedule": "cosine", "seed": seed}
    defenses.distillation(teacher, student, digits.x_train, digits.y_train, temperature=T, epochs=epochs, **options)
    return teacher, student


@pytest.fixture(scope="module")
def student(digits):
    return distilled(digits, 0)[1]


def test_gradients_vanish_at_temperature_1(digits, plain, student):
    x, y = digits.x_test, digits.y_test
    assert nn.accuracy(student, x, y) >= 0.82
    masked = defenses.vanished_gradients(student, x, y)
    assert masked.mean() >= 0.5
    assert not defenses.vanished_gradients(plain, x, y).any()
    # An attack that follows the exact gradient cannot move these samples: FGSM on them is the identity.
    step = EPS * np.sign(student.loss_gradient(x[masked], y[masked]))
    assert not step.any()
    # Divided by T the same logits give gradients.
    assert not defenses.vanished_gradients(defenses.at_temperature(student, T), x, y).any()


def test_attacks_on_the_logits_succeed(digits, plain, student):
    x, y = digits.x_test, digits.y_test
    masked = defenses.vanished_gradients(student, x, y)
    for loss in ("cross_entropy", "margin"):  # advcore's cross-entropy is rescaled so that it cannot vanish
        result = attacks.pgd(student, x, y, eps=0.4, steps=40, loss=loss)
        assert result.success.mean() >= 0.99
        assert result.success[masked].mean() >= 0.99
    by_eps = [attacks.pgd(network, x, y, eps=EPS, steps=40).robust_accuracy for network in (plain, student)]
    assert by_eps[1] <= by_eps[0] + 0.1  # no more robust than the undefended network


def test_an_attacker_who_repeats_both_distillations_transfers(digits, student):
    x, y = digits.x_test, digits.y_test
    copy = distilled(digits, 1)[1]
    examples = attacks.pgd(copy, x, y, eps=0.25, steps=30, loss="margin", early_stop=False).examples
    assert (student.predict(examples) != y).mean() >= 0.6


def test_a_temperature_replaces_no_layer(digits, plain):
    x = digits.x_test[:5]
    once, twice = defenses.at_temperature(plain, 5.0), defenses.at_temperature(defenses.at_temperature(plain, 5.0), 10)
    np.testing.assert_allclose(once.logits(x), plain.logits(x) / 5, rtol=1e-6)
    np.testing.assert_allclose(twice.logits(x), plain.logits(x) / 50, rtol=1e-6)
    inner = nn.Network({"flat": nn.Flatten(), "temperature": nn.Scale(3.0), "last": nn.Linear(64, 10)}, seed=0)
    np.testing.assert_allclose(defenses.at_temperature(inner, 2.0).logits(x), inner.logits(x) / 2, rtol=1e-6)


def test_soft_labels_are_the_teachers_at_the_temperature(digits):
    x, y = digits.x_train[:64], digits.y_train[:64]
    teacher, student, expected = (models.mlp((1, 8, 8), hidden=(8,), seed=s) for s in (0, 1, 1))
    made = defenses.distillation(teacher, student, x, y, temperature=5.0, epochs=2)
    soft = ops.softmax(teacher.logits(x) / np.float32(5))

    def loss(logits, target):
        value, gradient = nn.losses.cross_entropy(logits / np.float32(5), target)
        return value, gradient / np.float32(5)

    nn.fit(expected, x, soft, epochs=2, loss=loss)
    np.testing.assert_array_equal(student.logits(x), expected.logits(x))
    assert len(made.teacher.epochs) == len(made.student.epochs) == 2


def test_it_goes_on_from_its_checkpoints(digits, tmp_path):
    x, y = digits.x_train[:64], digits.y_train[:64]

    def train(checkpoint=None, callback=None):
        pair = [models.mlp((1, 8, 8), hidden=(8,), seed=s) for s in (0, 1)]
        options = {"temperature": 5.0, "epochs": 2, "checkpoint": checkpoint, "callback": callback}
        defenses.distillation(*pair, x, y, **options)
        return [network.logits(x) for network in pair]

    seen = []

    def stop(epoch):
        seen.append(epoch)
        if len(seen) == 4:
            raise KeyboardInterrupt

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", stop)
    for got, want in zip(train(tmp_path / "run"), whole, strict=True):
        np.testing.assert_array_equal(got, want)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.student", "run.teacher"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"temperature": 0.0}, ValueError, "temperature must be greater than 0, got 0"),
        ({"temperature": -1.0}, ValueError, "temperature must be greater than 0, got -1"),
        ({"y": None}, TypeError, "y must be an array of integers, got NoneType"),
        ({"optimizer": nn.Adam()}, TypeError, "optimizer must not be given"),
        ({"lr": 0.0}, ValueError, "lr must be greater than 0"),
        ({"loss": "hinge"}, TypeError, "loss must not be given: it is cross-entropy at the temperature"),
        ({"teacher": None}, TypeError, "teacher must be of type Network, got NoneType"),
        ({"student": None}, TypeError, "student must be of type Network, got NoneType"),
        (
            {"student": models.mlp((1, 8, 8), 7)},
            ValueError,
            r"student must give logits of the teacher's shape \(10,\), got \(7,\)",
        ),
        ({"student": models.mlp((1, 9, 9))}, ValueError, "81"),
        (
            {"student": models.mlp((1, 8, 8), dtype=np.float64)},
            TypeError,
            "student must be of type float32 like the teacher, got float64",
        ),
    ],
)
def test_bad_settings(digits, settings, error, message):
    pair = {name: models.mlp((1, 8, 8), hidden=(4,)) for name in ("teacher", "student")}
    before = pair["teacher"].logits(digits.x_test[:5])
    arguments = pair | {"temperature": 2.0, "epochs": 1, "x": digits.x_train[:8], "y": digits.y_train[:8]} | settings
    with pytest.raises(error, match=message):
        defenses.distillation(**arguments)
    np.testing.assert_array_equal(pair["teacher"].logits(digits.x_test[:5]), before)  # nothing was trained


def test_a_network_cannot_teach_itself(digits):
    network = models.mlp((1, 8, 8), hidden=(4,))
    for student in (network, defenses.at_temperature(network, 3.0)):
        with pytest.raises(ValueError, match="student must be another network than the teacher, got one that shares"):
            defenses.distillation(network, student, digits.x_train[:8], digits.y_train[:8], temperature=2.0, epochs=1)
    with pytest.raises(ValueError, match="temperature must be greater than 0"):
        defenses.at_temperature(network, 0)
