"""Input that once crashed, gave a silent wrong answer, or an error that named nothing."""

import re

import numpy as np
import pytest

from advcore import attacks, data, ops


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.conv2d(np.zeros((1, 1, 0, 1)), np.zeros((1, 1, 1, 1)), padding=1), ValueError, "input must have planes"),
        (lambda: ops.conv2d_weight_grad(np.zeros((2, 3, 0, 8)), (4, 3, 3, 3), np.zeros((2, 4, 8, 16)), padding=5), ValueError, "input must have planes"),
        (lambda: ops.conv2d(np.zeros((2, 3, 8, 8)), np.zeros((4, 3, 3, 3)), stride=2**70), ValueError, "stride must be at most"),
        (lambda: ops.knn(np.array([[3e38]], np.float32), np.array([[-3e38], [0]], np.float32), 2), ValueError, "distances within float32"),
        (lambda: ops.lid(np.array([[3e38]], np.float32), np.array([[-3e38], [0]], np.float32), 2), ValueError, "distances within float32"),
        (lambda: ops.knn(np.array([[1e200]]), np.array([[-1e200]]), 1), ValueError, "distances within float64, got larger: row 0"),
        (lambda: ops.gru(np.zeros((5, 2, 3)), None, [np.ones((12, 3)), np.ones((12, 4))], lengths=[[1], [2, 3]]), ValueError, "lengths must have shape"),
        (lambda: attacks.zoo(lambda a: [[1.0], [1.0, 2.0]], np.full((2, 4), 0.5), np.array([0, 1]), output="logits"), ValueError, "the model must return an array"),
        (lambda: ops.coordinate_gradient(lambda a: a, np.full(2, 0.5, np.float32), [0], objective=lambda z: z[:, 0], h=1e39), ValueError, "h must keep x within float32"),
        (lambda: data.idx(None), TypeError, "folder must be a path, got NoneType"),
        (lambda: data.npz(""), ValueError, "path must be a path, got an empty string"),
    ],
)  # fmt: skip
def test_each_is_an_error_that_names_the_argument(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_two_results_cannot_share_memory():
    a = np.zeros((2, 2))
    with pytest.raises(ValueError, match="out must be two arrays that share no memory"):
        ops.knn(np.ones((2, 3)), np.ones((4, 3)), 2, out=(a, a.view(np.int64)))
    h = np.zeros((2, 4))
    with pytest.raises(ValueError, match="out must be two arrays that share no memory"):
        ops.lstm_cell(np.ones((2, 3)), None, np.ones((16, 3)), np.ones((16, 4)), out=(h, h))


def test_a_model_that_works_in_place_changes_nothing_of_the_callers():
    def model(batch):
        batch -= 0.5
        return batch[:, :3] * np.array([1.0, 2.0, 3.0], np.float32)

    x = np.random.default_rng(0).uniform(0, 1, (2, 12)).astype(np.float32)
    before = x.copy()
    attacks.zoo(model, x, np.array([0, 1]), steps=2, output="logits")
    np.testing.assert_array_equal(x, before)


def test_distances_beyond_the_type_do_not_hide_nearer_points():
    queries, reference = np.array([[1e20]], np.float32), np.array([[-1e20], [1.00001e20]], np.float32)
    assert ops.knn(queries, reference, 1)[1].tolist() == [[1]]
