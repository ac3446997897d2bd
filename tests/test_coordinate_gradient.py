"""Gradients along coordinates: closed forms of linear and quadratic models, bounds, batches, and what is refused."""

import numpy as np
import pytest

from advcore import _perturb, ops, reference

RNG = np.random.default_rng(0)
SHAPE = (2, 5, 7)
SIZE = 70
X = RNG.uniform(0.1, 0.9, SHAPE)
W = RNG.normal(size=(SIZE, 10))
ALL = np.arange(SIZE)


def linear(batch):
    return batch.reshape(len(batch), -1) @ W.astype(batch.dtype)


def quadratic(batch):
    return batch.reshape(len(batch), -1) ** 2


def first(logits):
    return logits[:, 0]


def total(logits):
    return logits.sum(axis=1)


@pytest.mark.parametrize("bounds", [None, (0, 1)])
def test_linear_model(bounds):
    gradient = ops.coordinate_gradient(linear, X, ALL, objective=first, bounds=bounds)
    np.testing.assert_allclose(gradient, W[:, 0], rtol=1e-9, atol=1e-9)


def test_quadratic_model_and_values():
    coordinates = np.array([69, 0, 3, 3])
    gradient, f0, up, down = ops.coordinate_gradient(
        quadratic, X, coordinates, objective=total, h=1e-3, return_values=True
    )
    middle = X.ravel()[coordinates]
    np.testing.assert_allclose(gradient, 2 * middle, rtol=1e-9)
    assert isinstance(f0, float)
    assert f0 == pytest.approx((X**2).sum(), rel=1e-14)
    np.testing.assert_allclose(up - f0, 2e-3 * middle + 1e-6, rtol=1e-8)
    np.testing.assert_allclose(down - f0, -2e-3 * middle + 1e-6, rtol=1e-8)


def test_float32_step_is_the_one_that_the_type_holds():
    """x + 1e-4 near 1000 is off by a quarter of the step in float32: the division must use what was stored."""
    x = np.full(3, 1000, np.float32)
    gradient = ops.coordinate_gradient(lambda batch: batch.astype(np.float64), x, np.arange(3), objective=total, h=1e-4)
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient, np.ones(3))


def test_bounds_are_kept_and_divided_by_the_actual_distance():
    x = np.array([0.0, 1.0, 0.5, 0.05])
    seen = []

    def model(batch):
        seen.append(batch.copy())
        return batch

    gradient = ops.coordinate_gradient(model, x, np.arange(4), objective=total, h=0.1, bounds=(0, 1))
    np.testing.assert_allclose(gradient, np.ones(4))
    rows = np.concatenate(seen)
    assert rows.min() == 0
    assert rows.max() == 1
    np.testing.assert_allclose(np.diag(rows[:4]), [0.1, 1.0, 0.6, 0.15])
    np.testing.assert_allclose(np.diag(rows[4:]), [0.0, 0.9, 0.4, 0.0])


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 139, 140, 141, None])
def test_batches_change_nothing_but_their_size(batch_size, values):
    sizes = []

    def model(batch):
        sizes.append(len(batch))
        assert batch.shape[1:] == SHAPE
        assert batch.dtype == np.float32
        return quadratic(batch)

    x = X.astype(np.float32)
    got = ops.coordinate_gradient(model, x, ALL, objective=total, h=0.1, batch_size=batch_size, return_values=values)
    want = ops.coordinate_gradient(quadratic, x, ALL, objective=total, h=0.1, return_values=values)
    np.testing.assert_array_equal(got[0] if values else got, want[0] if values else want)
    assert sum(sizes) == 2 * SIZE + values
    assert max(sizes) <= (batch_size or 141)


def test_a_model_may_spoil_its_batch_and_have_logits():
    class Model:
        def logits(self, batch):
            values = linear(batch)
            batch[...] = np.nan
            return values

    before = X.copy()
    gradient = ops.coordinate_gradient(Model(), X, ALL, objective=first)
    np.testing.assert_allclose(gradient, W[:, 0], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(X, before)


def test_agrees_with_the_reference_to_the_last_value():
    torch = pytest.importorskip("torch")
    options = {"h": 0.05, "bounds": (0.1, 0.9), "return_values": True}
    coordinates = RNG.permutation(SIZE)[:20]
    got = ops.coordinate_gradient(quadratic, X, coordinates, objective=total, **options)
    want = reference.coordinate_gradient(
        lambda batch: batch.reshape(len(batch), -1) ** 2,
        torch.from_numpy(X),
        torch.from_numpy(coordinates),
        objective=lambda logits: logits.sum(1),
        **options,
    )
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_views_out_scalars_and_no_coordinates():
    wide = np.zeros((2, 10, 7))
    wide[:, ::2] = X
    out = np.empty(140)[::2]
    assert ops.coordinate_gradient(linear, wide[:, ::2], ALL, objective=first, out=out) is out
    np.testing.assert_array_equal(out, ops.coordinate_gradient(linear, X, ALL, objective=first))
    scalar = ops.coordinate_gradient(lambda b: b[:, None] ** 2, np.array(3.0), [0], objective=first)
    np.testing.assert_allclose(scalar, [6.0])
    asked = []
    gradient = ops.coordinate_gradient(lambda b: asked.append(b), X, ALL[:0], objective=first)
    assert gradient.shape == (0,)
    assert asked == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keep", [False, True])
def test_many_samples_at_once(dtype, keep):
    x = RNG.uniform(0, 1, (3, 4, 5)).astype(dtype)
    coordinates = np.array([[0, 19, 7], [1, 1, 2], [5, 6, 7]])
    batch, distances = _perturb.perturbed(x, coordinates, 0.3, (0, 1), keep=keep)
    expected, gaps = [], np.empty((3, 3))
    for sample in range(3):
        expected += [x[sample]] if keep else []
        for sign in (1, -1):
            for j, c in enumerate(coordinates[sample]):
                copy = x[sample].copy()
                copy.ravel()[c] = np.clip(np.float64(copy.ravel()[c]) + sign * 0.3, 0, 1)
                expected.append(copy)
                gaps[sample, j] = sign * np.float64(copy.ravel()[c]) + (gaps[sample, j] if sign < 0 else 0)
    np.testing.assert_array_equal(batch, np.stack(expected))
    np.testing.assert_array_equal(distances, gaps)
    moved = _perturb.Perturbed(x, coordinates, 0.3, (0, 1), keep=keep)
    parts = [moved.batch(first, first + 4) for first in range(0, moved.rows, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), batch)


def call(model=linear, x=X, coordinates=ALL, objective=first, **options):
    return ops.coordinate_gradient(model, x, coordinates, objective=objective, **options)


def spoiled(batch):
    logits = linear(batch)
    logits[[3, 5], 2] = np.nan
    return logits


BAD = X.copy()
BAD[1, 0, 0] = np.inf
ERRORS = [
    (lambda: call(model=3), TypeError, "model must be callable or have logits"),
    (lambda: call(objective=None), TypeError, "objective must be callable, got NoneType"),
    (
        lambda: call(model=lambda b: linear(b)[:-1]),
        ValueError,
        r"model must return an array of shape \(140, K\), got \(139",
    ),
    (
        lambda: call(model=lambda b: linear(b)[:, 0]),
        ValueError,
        r"model must return an array of shape \(140, K\), got \(140,",
    ),
    (
        lambda: call(model=lambda b: linear(b).tolist()),
        TypeError,
        "model must return a NumPy array of floats, got a list",
    ),
    (lambda: call(model=lambda b: linear(b).argmax(1)), TypeError, "model must return .* got an array of int64"),
    (lambda: call(model=spoiled), ValueError, "model's logits must not be NaN, got 2 such rows: 3, 5"),
    (lambda: call(model=spoiled, batch_size=100), ValueError, "such rows: 3, 5"),
    (
        lambda: call(objective=lambda z: z),
        ValueError,
        r"objective must return an array of shape \(140,\), got \(140, 10",
    ),
    (lambda: call(objective=lambda z: 0.0), TypeError, "objective must return a NumPy array of floats, got a float"),
    (lambda: call(objective=lambda z: z[:, 0] * np.inf), ValueError, "objective's values must be finite, got 140 such"),
    (lambda: call(coordinates=np.array([70])), ValueError, r"coordinates must be in \[0, 69\], got 70 at index 0"),
    (lambda: call(coordinates=np.array([-1])), ValueError, r"coordinates must be in \[0, 69\], got -1 at index 0"),
    (lambda: call(coordinates=np.array([[1]])), ValueError, "coordinates must have shape"),
    (lambda: call(coordinates=np.array([1.0])), TypeError, "coordinates must be an array of integers"),
    (lambda: call(h=0), ValueError, "h must be greater than 0, got 0"),
    (lambda: call(h=-1e-4), ValueError, "h must be greater than 0"),
    (lambda: call(h=1e-20), ValueError, "h must be large enough to move x in float64, got 1e-20"),
    (lambda: call(bounds=(0, 0.5)), ValueError, r"x must be inside its bounds \[0, 0.5\]"),
    (lambda: call(bounds=(1, 0)), ValueError, "bounds must be a pair"),
    (lambda: call(bounds=0.5), TypeError, "bounds must be a pair"),
    (lambda: call(x=BAD), ValueError, "x must be finite"),
    (lambda: call(x=X.astype(int)), TypeError, "x must be of type float32 or float64"),
    (lambda: call(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: call(return_values=1), TypeError, "return_values must be True or False"),
    (lambda: call(out=np.empty(3)), ValueError, r"out must have shape \(70,\), got \(3,\)"),
]


@pytest.mark.parametrize(("attempt", "error", "message"), ERRORS, ids=[str(i) for i in range(len(ERRORS))])
def test_errors(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()


def test_what_a_failing_model_leaves():
    batches = []

    def model(batch):
        batches.append(len(batch))
        if len(batches) == 3:
            raise ConnectionError("lost")
        return linear(batch)

    with pytest.raises(ConnectionError, match="lost") as caught:
        call(model=model, batch_size=50, return_values=True)
    partial = caught.value.partial
    assert partial.answered == 100
    np.testing.assert_allclose(partial.f_plus, linear(X[None])[0, 0] + 1e-4 * W[:, 0])
    assert not np.isnan(partial.f_minus[:29]).any()
    assert np.isnan(partial.f_minus[29:]).all()
    np.testing.assert_allclose(partial.gradient[:29], W[:29, 0], rtol=1e-8)
    assert np.isnan(partial.gradient[29:]).all()
    if hasattr(caught.value, "__notes__"):
        assert "coordinate 29 moved down to coordinate 69 moved down; 100 of 141 rows" in caught.value.__notes__[0]


def test_bad_rows_are_named_by_their_coordinates():
    with pytest.raises(ValueError, match=r"such rows: 3, 5 \(the first is coordinate 3 moved up\)") as caught:
        call(model=spoiled, batch_size=100)
    assert caught.value.partial.answered == 100


def unbounded(logits):
    return np.where(logits[:, 0] > linear(X[None])[0, 0] + 1e-5, np.inf, logits[:, 0])


@pytest.mark.parametrize(("model", "objective"), [(spoiled, first), (linear, unbounded)], ids=["logits", "objective"])
def test_bad_rows_leave_the_others_of_their_batch(model, objective):
    with pytest.raises(ValueError, match="such rows") as caught:
        call(model=model, objective=objective, return_values=True)
    logits = model(_perturb.perturbed(X[None], ALL[None], 1e-4, None, keep=True)[0])
    want = np.where(np.isnan(logits).any(axis=1), np.nan, objective(logits))
    want[np.isinf(want)] = np.nan
    partial = caught.value.partial
    assert partial.answered == len(want)
    assert 0 < np.isnan(want).sum() < len(want)
    np.testing.assert_array_equal([partial.f0, *partial.f_plus, *partial.f_minus], want)


def test_a_model_that_changes_its_number_of_logits_is_refused():
    def changing(batches):
        sizes = iter(batches)
        return lambda batch: linear(batch)[:, : next(sizes)]

    with pytest.raises(ValueError, match=r"model must return an array of shape \(40, 10\), got \(40, 3\)") as caught:
        call(model=changing([10, 10, 3]), batch_size=50)
    assert caught.value.partial.answered == 100
    with pytest.raises(ValueError, match=r"model must return an array of shape \(1, 10\), got \(1, 1\)"):
        call(model=changing([10, 1]), verify=True)


def test_a_random_model_is_refused_when_asked_again():
    rng = np.random.default_rng(0)

    def noisy(batch):
        return linear(batch) + rng.normal(size=(len(batch), 1))

    call(model=noisy)
    with pytest.raises(
        ValueError, match=r"same logits for the same input, .* coordinate 0 moved up: it is random"
    ) as e:
        call(model=noisy, verify=True)
    assert not np.isnan(e.value.partial.gradient).any()
    rows = []
    call(model=lambda batch: (rows.append(len(batch)), linear(batch))[1], verify=True)
    assert sum(rows) == 2 * SIZE + 1
