"""A copy trained on answers: what it is asked for, and what it finds."""

import numpy as np
import pytest

from advcore import models
from advcore.attacks import substitute


def task(shape=(6,), dtype=np.float32, count=20):
    """Three classes by the largest of three sums; the attacker has inputs of its own."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, int(np.prod(shape))))
    x = rng.uniform(0, 1, (count + 60, *shape)).astype(dtype)

    def label(rows):
        return (rows.reshape(len(rows), 1, -1).astype(np.float64) * w).sum(axis=-1).argmax(axis=1)

    return label, x[:count], label(x[:count]), x[count:]


def attack(label, x, y, own, **more):
    arguments = {"eps": 0.3, "steps": 10, "rounds": 2, "epochs": 20, "output": "label", "randomised": False}
    return substitute(label, x, y, own_inputs=own, **(arguments | more))


@pytest.mark.parametrize(("shape", "dtype"), [((6,), np.float32), ((6,), np.float64), ((1, 4, 5), np.float32)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_copys_examples_transfer_and_every_query_is_counted(shape, dtype, norm):
    label, x, y, own = task(shape, dtype)
    asked = []

    def ask(rows):
        asked.append(len(rows))
        return label(rows)

    result = attack(ask, x, y, own, norm=norm, eps=0.3 if norm == "linf" else 0.8, batch_size=16)
    assert result.shared_queries == 4 * len(own)
    assert sum(asked) == result.queries.sum() + result.verification.sum() + result.shared_queries
    np.testing.assert_array_equal(result.queries, 2)
    assert max(asked) <= 16
    assert result.success.mean() >= 0.7
    assert (label(result.examples[result.success]) != y[result.success]).all()
    assert result.gradients.sum() == 0


def test_samples_do_not_feel_each_other():
    label, x, y, own = task()
    want = attack(label, x, y, own)
    order = np.arange(len(x))[::-1]
    got = attack(label, x[order], y[order], own, sample_ids=order, batch_size=7)
    np.testing.assert_array_equal(got.success, want.success[order])
    np.testing.assert_allclose(got.examples, want.examples[order], atol=1e-5)


def test_targets_masks_limits_and_a_network_of_ones_own():
    label, x, y, own = task()
    targets = (y + 1) % 3
    mask = np.arange(6) != 2
    built = []

    def build():
        built.append(models.mlp((6,), 3, hidden=(30,), seed=3, dtype=np.float64))
        return built[-1]

    result = attack(label, x, y, own, targets=targets, mask=mask, most_training_queries=100, build=build, eps=0.6)
    assert result.shared_queries == 100
    assert len(built) == 2
    assert (result.examples[:, 2] == x[:, 2]).all()
    assert (label(result.examples[result.success]) == targets[result.success]).all()
    assert result.success.any()


def test_no_training_where_nobody_needs_it():
    label, x, y, own = task()
    result = attack(label, x, (y + 1) % 3, own)
    assert (result.status == "misclassified").all()
    assert result.shared_queries == 0
    assert attack(label, x, y, own, max_queries=1).shared_queries == 0


@pytest.mark.parametrize(
    ("lost", "error", "message"),
    [(True, ConnectionError, "lost"), (False, ValueError, r"for the attacker's own input 79\b")],
)
def test_errors_while_training_name_the_attackers_inputs(lost, error, message):
    label, x, y, own = task()
    calls = []

    def scores(rows):
        calls.append(len(rows))
        values = np.eye(3)[label(rows)]
        if len(calls) == 7:  # 1 checks the first samples, 4 ask about own_inputs, 1 about what was made of them
            if lost:
                raise ConnectionError("lost")
            values[3] = np.nan
        return values

    with pytest.raises(error, match=message) as caught:
        attack(scores, x, y, own, output="logits", batch_size=16)
    note = "The model was asked about the attacker's own input 76, 77, 78, 79, 80, 81, 82, 83 and 8 more."
    assert caught.value.__notes__[0] == note


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"own": np.zeros((3, 5), "f")}, ValueError, r"own_inputs must have shape .*got \(3, 5\)"),
        ({"own": np.zeros((0, 6), "f")}, ValueError, "own_inputs must have at least one input, got none"),
        ({"own": np.full((2, 6), 2.0, "f")}, ValueError, "own_inputs must be inside its bounds"),
        ({"own": np.zeros((3, 6))}, TypeError, "own_inputs must be of type float32"),
        ({"rounds": -1}, ValueError, "rounds must be at least 0, got -1"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"augmentation": 0.0}, ValueError, "augmentation must be greater than 0"),
        ({"build": 3}, TypeError, "build must be callable, got a int"),
        ({"norm": "l1"}, ValueError, "norm must be 'linf' or 'l2'"),
    ],
)
def test_wrong_arguments(wrong, error, message):
    label, x, y, own = task()
    given = {"own": own} | wrong
    with pytest.raises(error, match=message):
        attack(label, x, y, given.pop("own"), **given)
