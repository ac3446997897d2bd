"""The attack on binary classifiers: one output or two, strict success, the optimum, its log."""

import numpy as np
import pytest
import torch

from advcore.attacks import fgsm, hinge_min_norm


class OneOutput:
    """f = w x + b, of shape (N, 1) or (N,); counts rows."""

    randomised = False

    def __init__(self, w, b, columns=True):
        self.w, self.b, self.columns = w, b, columns
        self.forwards = self.backwards = 0

    def logits(self, x):
        self.forwards += len(x)
        f = (x.reshape(len(x), 1, -1) * self.w).sum(axis=-1) + self.b
        return f if self.columns else f[:, 0]

    def vjp(self, x, cotangent):
        self.forwards += len(x)
        self.backwards += len(x)
        assert cotangent.shape == (len(x), 1) if self.columns else (len(x),)
        return (cotangent.reshape(-1, 1) * self.w).reshape(x.shape)


class TwoOutputs(OneOutput):
    def logits(self, x):
        f = super().logits(x)
        return np.concatenate([-f / 2, f / 2], axis=1)

    def vjp(self, x, cotangent):
        return super().vjp(x, (cotangent[:, 1:] - cotangent[:, :1]) / 2)


@pytest.fixture
def setup():
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal((1, 12)), rng.uniform(-1, 1, (20, 3, 4))
    f = x.reshape(20, -1) @ w[0] + 0.1
    return w, 0.1, x, (f > 0).astype(int), np.abs(f) / np.linalg.norm(w)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [True, False])
def test_one_output_is_attacked_within_two_percent_of_the_optimum(setup, dtype, columns):
    w, b, x, y, best = setup
    model = OneOutput(w.astype(dtype), dtype(b), columns)
    result = hinge_min_norm(model, x.astype(dtype), y, bounds=(-3.0, 3.0))
    assert result.success.all()
    assert (result.distances["l2"] <= 1.02 * best).all()
    assert result.examples.dtype == dtype
    t = 2 * y - 1
    assert (t * model.logits(result.examples).reshape(-1) < 0).all()


def test_two_outputs_and_one_give_the_same(setup):
    w, b, x, y, _ = setup
    one = hinge_min_norm(OneOutput(w, b), x, y, steps=20, bounds=(-3.0, 3.0))
    two = hinge_min_norm(TwoOutputs(w, b), x, y, steps=20, bounds=(-3.0, 3.0))
    np.testing.assert_allclose(one.examples, two.examples, atol=1e-9)
    np.testing.assert_array_equal(one.queries, two.queries)


def test_ledger_and_batches(setup):
    w, b, x, y, _ = setup
    y = y.copy()
    y[0] = 1 - y[0]
    model = OneOutput(w, b)
    result = hinge_min_norm(model, x, y, steps=10, search_steps=3, bounds=(-3.0, 3.0))
    assert result.status[0] == "misclassified"
    assert model.forwards == result.queries.sum() + result.verification.sum()
    assert model.backwards == result.gradients.sum()
    order = np.arange(20)[::-1]
    again = hinge_min_norm(model, x[order], y[order], steps=10, search_steps=3, bounds=(-3.0, 3.0), batch_size=3)
    np.testing.assert_array_equal(again.examples, result.examples[order])
    for key, values in result.log.items():
        np.testing.assert_array_equal(again.log[key], values[order])


def test_the_boundary_itself_is_no_success():
    class Step(OneOutput):
        """Zero from the boundary on, never beyond it."""

        def logits(self, x):
            return np.maximum(super().logits(x), 0.0)

    model = Step(np.ones((1, 4)), 0.0)
    x = np.full((2, 4), 0.5)
    result = hinge_min_norm(model, x, np.ones(2, int), steps=30, search_steps=3, bounds=(-1.0, 1.0))
    assert not result.success.any()
    np.testing.assert_array_equal(result.examples, x)
    on_it = hinge_min_norm(model, np.zeros((1, 4)), np.ones(1, int), steps=5, search_steps=1, bounds=(-1.0, 1.0))
    assert on_it.status[0] in ("failed", "masked")


def test_log_says_what_each_iteration_did(setup):
    w, b, x, y, _ = setup
    y = y.copy()
    y[3] = 1 - y[3]
    kappa = 0.2
    result = hinge_min_norm(
        OneOutput(w, b), x, y, steps=15, search_steps=4, initial_c=0.5, kappa=kappa, bounds=(-3.0, 3.0)
    )
    log = result.log
    assert set(log) == {"c", "distance", "hinge", "objective", "score", "success"}
    assert all(values.shape == (20, 60) and values.dtype == np.float32 for values in log.values())
    assert np.isnan(log["c"][3]).all()
    rest = np.arange(20) != 3
    log = {key: values[rest] for key, values in log.items()}
    np.testing.assert_allclose(log["hinge"], np.maximum(0, log["score"] + kappa), atol=1e-5)
    np.testing.assert_allclose(log["objective"], log["distance"] + log["c"] * log["hinge"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(log["success"], log["score"] < 0)
    assert (log["distance"][:, ::15] == 0).all()  # each constant starts at x
    np.testing.assert_array_equal(log["c"][:, 0], 0.5)
    won = log["success"].reshape(19, 4, 15).any(axis=2)
    constants = log["c"].reshape(19, 4, 15)[:, :, 0]
    np.testing.assert_allclose(constants[:, 1], np.where(won[:, 0], 0.25, 5.0))


def test_torch_module_of_one_output(setup):
    w, b, x, y, best = setup
    linear = torch.nn.Linear(12, 1).double()
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(w))
        linear.bias.fill_(b)
    module = torch.nn.Sequential(torch.nn.Flatten(), linear)
    result = hinge_min_norm(module, x, y, bounds=(-3.0, 3.0))
    assert (result.distances["l2"] <= 1.02 * best).all()


def test_masks_and_targets(setup):
    w, b, x, y, _ = setup
    mask = np.zeros((3, 4), bool)
    mask[:2] = True
    result = hinge_min_norm(OneOutput(w, b), x, y, targets=1 - y, mask=mask, bounds=(-3.0, 3.0))
    assert result.success.all()
    np.testing.assert_array_equal(result.examples[:, 2], x[:, 2])
    gap = np.abs(x.reshape(20, -1) @ w[0] + b)
    assert (result.distances["l2"] <= 1.02 * gap / np.linalg.norm(w[0, :8])).all()


def test_what_users_may_get_wrong(setup, linear):
    w, b, x, y, _ = setup
    several = linear.problem(classes=3)
    with pytest.raises(ValueError, match=r"hinge_min_norm needs a binary classifier, .* got \(12, 3\)"):
        hinge_min_norm(several.model, several.x, several.y % 2, bounds=several.bounds)
    with pytest.raises(ValueError, match=r"at least 2 classes.*got \(20, 1\)"):
        fgsm(OneOutput(w, b), x, y, eps=0.1, bounds=(-1.0, 1.0))
    model, box = OneOutput(w, b), {"bounds": (-1.0, 1.0)}
    with pytest.raises(ValueError, match=r"y must be in \[0, 1\] for this model, got 2 at index 1"):
        hinge_min_norm(model, x[:2], np.array([0, 2]), **box)
    for wrong, error, message in (
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"kappa": -1}, ValueError, "kappa must be at least 0"),
        ({"initial_c": 0}, ValueError, "initial_c must be greater than 0"),
        ({"search_steps": 0}, ValueError, "search_steps must be at least 1"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be greater than 0"),
    ):
        with pytest.raises(error, match=message):
            hinge_min_norm(model, x, y, **wrong, **box)
