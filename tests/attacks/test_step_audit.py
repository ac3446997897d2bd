"""The audit of steps: what rounding does to short ones, what is recommended, with and without a true gradient."""

import numpy as np
import pytest

from advcore import models, nn
from advcore.attacks import audit_step

RNG = np.random.default_rng(0)
X = RNG.uniform(0.2, 0.8, (2, 1, 28, 28)).astype(np.float32)
Y = np.array([3, 7])


def rows_of(audit, name):
    return {row.h: row for row in audit.rows if row.evaluation == name}


def test_short_steps_drown_in_float32_unless_differences_are_propagated():
    audit = audit_step(models.carlini_mnist(), X, Y, coordinates=24, steps=(1e-2, 1e-4, 1e-6))
    assert audit.compared_with == "vjp"
    assert audit.queries == 4 * 3 * 2 * 2 * 24
    assert audit.gradient_seconds > 0
    assert rows_of(audit, "float32")[1e-6].cosine < 0.9
    assert rows_of(audit, "propagated float32")[1e-6].worst_cosine > 0.99999
    assert rows_of(audit, "float64")[1e-6].worst_cosine > 0.99999
    assert audit.recommended["propagated float32"] <= 1e-4 < audit.recommended["float32"] <= 1e-2
    assert str(audit).count("(recommended)") == 4


def test_a_callable_is_compared_with_its_own_shorter_steps():
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.Tanh(), nn.Linear(20, 10))

    asked = []

    def only_float32(batch):
        asked.append(len(batch))
        return network.logits(batch)  # refuses float64

    audit = audit_step(only_float32, X, Y, output="logits", coordinates=16)
    assert audit.compared_with == "the next shorter step"
    assert set(audit.recommended) == {"float32"}
    assert audit.recommended["float32"] >= 1e-3
    assert len(audit.rows) == 5
    assert np.isnan(audit.gradient_seconds)
    assert audit.queries == sum(asked)


def test_a_model_with_logits_and_vjp():
    class Quadratic:
        def logits(self, x):
            flat = x.reshape(len(x), -1)
            return np.stack([(flat**2).sum(1), flat.sum(1)], axis=1)

        def vjp(self, x, cotangent):
            shape = (len(x), *[1] * (x.ndim - 1))
            return (2 * x * cotangent[:, 0].reshape(shape) + cotangent[:, 1].reshape(shape)).astype(x.dtype)

    x = RNG.uniform(0, 1, (3, 8))
    audit = audit_step(Quadratic(), x, np.array([0, 1, 0]), coordinates=8, bounds=(0, 1), steps=[1e-1, 1e-3])
    assert rows_of(audit, "float64")[1e-3].error < 1e-2
    assert rows_of(audit, "float64")[1e-3].cosine > 0.9999


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": [1e-3]}, ValueError, "steps to compare, got 2 and 1"),
        ({"steps": [0.0, 1e-3]}, ValueError, "steps must be greater than 0"),
        ({"coordinates": 0}, ValueError, "coordinates must be at least 1"),
        ({"x": X.astype(int)}, TypeError, "x must be of type float32 or float64"),
        ({"y": np.array([1])}, ValueError, "y must have shape"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"y": np.array([3, 10])}, ValueError, r"y must be in \[0, 9\] for this model, got 10"),
    ],
)
def test_errors(options, error, message):
    arguments = {"x": X, "y": Y} | options
    with pytest.raises(error, match=message):
        audit_step(models.carlini_mnist(), arguments.pop("x"), arguments.pop("y"), **arguments)
