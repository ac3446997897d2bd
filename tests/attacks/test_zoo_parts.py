"""ZOO's variables, solvers, choices and state, each against what is known of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from advcore import nn
from advcore.attacks import zoo
from advcore.attacks._projection import Region
from advcore.attacks._zoo import state
from advcore.attacks._zoo.coordinates import pooled
from advcore.attacks._zoo.solvers import Adam, Newton
from advcore.attacks._zoo.variables import StretchedImage, interpolation, slopes, support

FULL = {"coordinates": 20, "steps": 120, "learning_rate": 5e-3, "initial_c": 0.1, "search_steps": 7}


@pytest.mark.parametrize(
    "more",
    [
        {"solver": "newton", "learning_rate": 0.2},
        {"variables": "tanh", "learning_rate": 2e-2},
        {"importance": True, "coordinates": 10, "steps": 150},
    ],
)
def test_variants_come_near_the_nearest_example(linear, more):
    setup = linear.problem(classes=3, count=2)
    x = setup.x * 0.2
    y = setup.model.logits(x).argmax(axis=1)
    setup.scores, setup.y = setup.model.logits(x), y
    result = zoo(setup.model, x, y, bounds=(-1.0, 1.0), **(FULL | more))
    assert result.success.all()
    ratio = result.distances["l2"] / linear.nearest(setup, "l2").min(axis=1)
    assert ((ratio > 1 - 1e-9) & (ratio < 1.3)).all()


def test_attack_space_grows_and_moves_blocks(linear):
    setup = linear.problem(classes=3, count=2, shape=(1, 8, 8))
    arguments = {"c": 30.0, "coordinates": 4, "bounds": setup.bounds, "learning_rate": 0.1}
    coarse = zoo(setup.model, setup.x, setup.y, steps=40, attack_space=((0, 2),), **arguments)
    change = (coarse.examples - setup.x)[:, 0]
    assert coarse.success.any()
    stretch = interpolation(2, 8)
    for delta in change[coarse.success]:
        small = np.linalg.lstsq(stretch, np.linalg.lstsq(stretch, delta, rcond=None)[0].T, rcond=None)[0].T
        np.testing.assert_allclose(stretch @ small @ stretch.T, delta, atol=1e-9)
    grown = zoo(setup.model, setup.x, setup.y, steps=80, attack_space=((0, 2), (30, 4), (60, 8)), **arguments)
    assert grown.success.all()


def test_interpolation_keeps_constants_and_lines():
    for size, length in ((1, 5), (4, 4), (4, 16), (5, 13)):
        matrix = interpolation(size, length)
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    np.testing.assert_allclose(interpolation(4, 4), np.eye(4))


@pytest.mark.parametrize(("size", "length"), [(1, 5), (4, 4), (4, 16), (5, 13), (7, 4), (32, 299)])
def test_windows_hold_all_that_a_variable_moves(size, length):
    matrix, windows = interpolation(size, length), support(interpolation(size, length))
    held = np.zeros(matrix.shape)
    held[windows, np.arange(size)[:, np.newaxis]] = matrix[windows, np.arange(size)[:, np.newaxis]]
    np.testing.assert_array_equal(held, matrix)
    assert windows.shape[1] == (matrix > 0).sum(axis=0).max()


BLACK, BOARD = np.zeros((8, 8)), np.indices((8, 8)).sum(axis=0) % 2.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("image", "curvature"),
    [(BLACK + 0.5, 3.0), (BLACK + 7e-4, 3.0), (BLACK, 0.0), (BLACK + 1, 0.0), (BOARD / 2, 0.0), (BOARD, 0.0)],
    ids=["grey", "dark", "black", "white", "black and grey", "black and white"],
)
@pytest.mark.parametrize("masked", [False, True])
def test_patches_at_the_edges_of_the_box_have_the_slopes_of_others(image, curvature, dtype, masked):
    """Of f = sum w x + 1.5 sum over variables (patch x)^2, in batches that both sides share."""
    rng, asked, h = np.random.default_rng(0), [], 1e-3
    x = np.broadcast_to(image, (3, 2, 8, 8)).astype(dtype)
    mask = np.broadcast_to(rng.random((2, 8, 8)) < 0.5, x.shape) if masked else None
    weights = rng.normal(size=(2, 8, 8))
    stretch = interpolation(4, 8)
    bent = curvature / 2 if dtype == np.float64 else 0.0

    def logits(points, owners):
        assert points.dtype == dtype
        assert points.min() >= 0
        assert points.max() <= 1
        asked.append(len(points))
        moved = points.astype(np.float64) - x[owners]
        return (moved * weights + bent * moved**2).sum(axis=(1, 2, 3))

    region = Region(x, (0.0, 1.0), mask=mask)
    problem = SimpleNamespace(x=x, region=region, batch_size=16, logits=logits, project=region.project)
    variables = StretchedImage(problem, lambda values, owners: values, h, True, 4)
    chosen = np.stack([rng.permutation(32)[:20] for _ in range(3)])
    found = variables.derivatives(np.arange(3), chosen, np.zeros(3), np.full((3, 1), 5.0))

    patches = np.einsum("ha,wb->abhw", stretch, stretch).reshape(16, 8, 8)[chosen % 16]
    patches = patches * (mask[0] if masked else np.ones((2, 8, 8)))[chosen // 16]
    slopes_of_f = (patches * weights[chosen // 16]).sum(axis=(2, 3))
    size = (patches**2).sum(axis=(2, 3))
    np.testing.assert_allclose(found.first, 5 * slopes_of_f, atol=5 * 2 * h * max(1, curvature))
    np.testing.assert_allclose(found.second, (2 + 5 * 2 * bent) * size, atol=1e-6 if dtype == np.float64 else 1.0)
    assert asked == [16] * 7 + [8]


def test_adam_counts_steps_a_coordinate():
    """The first step of any coordinate has the learning rate's length, whenever it comes."""
    adam = Adam(1, 3)
    index = np.array([0])
    for chosen in ([0], [0], [1], [2], [0]):
        before = adam.bias1[0, chosen[0]]
        step = adam.step(index, np.array([chosen]), np.array([[3.0]]), np.zeros((1, 1)))
        if before == 1.0:
            assert abs(step[0, 0] + 1.0) < 1e-6
    np.testing.assert_allclose(adam.bias1[0], [0.9**3, 0.9, 0.9])


def test_newton_bounds_the_curvature():
    newton = Newton(1, 3)
    step = newton.step(np.array([0]), np.array([[0, 1, 2]]), np.full((1, 3), 2.0), np.array([[-5.0, 0.01, 4.0]]))
    np.testing.assert_allclose(step, [[-2.0, -20.0, -0.5]])


def test_differences_of_unequal_width():
    """Of 3 + 2 t + 5 t^2, from 0: exact second derivative, and a first one whose error is the widths' difference."""

    def f(t):
        return 3 + 2 * t + 5 * t * t

    up, down = np.array([[0.1, 0.1, 0.0]]), np.array([[0.1, 0.05, 0.2]])
    found = slopes(f(up), f(-down), np.array([[3.0]]), up, down, True)
    np.testing.assert_allclose(found.first, [[2.0, 2.25, 1.0]])
    np.testing.assert_allclose(found.second, [[10.0, 10.0, 0.0]])


def test_importance_follows_the_perturbation():
    change = np.zeros((1, 256))
    change[0, 5 * 16 + 5] = 1.0
    weight = pooled(change, (1, 16, 16)).reshape(16, 16)
    assert weight.sum() == 4  # a window of 16 / 8 in both directions
    assert weight[5, 5] == 1.0


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 4), seed=3
    )


def images(count=5, dtype=np.float32):
    return np.random.default_rng(0).random((count, 1, 8, 8)).astype(dtype)


def test_simulated_answers_are_those_of_whole_passes():
    net = network()
    x = images()
    y = net.predict(x)
    arguments = {"steps": 40, "coordinates": 16, "c": 5.0, "learning_rate": 0.05}
    simulated = zoo(net, x, y, **arguments)
    whole = zoo(net, x, y, simulate=False, h=1e-2, **arguments)
    assert simulated.simulated
    assert not whole.simulated
    assert simulated.vjp_seconds > 0
    np.testing.assert_array_equal(simulated.queries, whole.queries)
    assert simulated.success.sum() >= whole.success.sum() - 1
    assert simulated.success.any()
    assert not zoo(net.logits, x, y, output="logits", **arguments).simulated
    with pytest.raises(TypeError, match="simulate needs a Network"):
        zoo(net.logits, x, y, output="logits", simulate=True)


@pytest.mark.parametrize(
    ("wrong", "more"),
    [(0, {"attack_space": ((0, 4),)}), (1, {}), (0, {"max_queries": 5})],
    ids=["whole passes", "nothing to search for", "no step to pay"],
)
def test_what_was_not_simulated_is_not_called_so(wrong, more):
    net, x = network(), images()
    result = zoo(net, x, (net.predict(x) + wrong) % 4, steps=2, coordinates=4, **more)
    assert not result.simulated
    assert result.vjp_seconds is None


@pytest.mark.parametrize("more", [{}, {"attack_space": ((0, 2), (10, 4), (30, 8))}, {"solver": "newton"}])
def test_a_killed_search_goes_on_where_it_was(tmp_path, monkeypatch, more):
    monkeypatch.setattr(state, "SECONDS", 0.0)
    net = network()
    x = images(dtype=np.float64).astype(np.float32)
    y = net.predict(x)
    arguments = {"steps": 25, "coordinates": 8, "search_steps": 3, "initial_c": 1.0, "learning_rate": 0.05, **more}
    want = zoo(net, x, y, **arguments)

    calls = []

    def kill(progress):
        calls.append(progress)
        if len(calls) == 90:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        zoo(net, x, y, checkpoint=tmp_path, callback=kill, **arguments)
    got = zoo(net, x, y, checkpoint=tmp_path, **arguments)
    np.testing.assert_array_equal(got.examples, want.examples)
    np.testing.assert_array_equal(got.queries, want.queries)
    np.testing.assert_array_equal(got.queries_to_success, want.queries_to_success)
    finished = []
    again = zoo(net, x, y, checkpoint=tmp_path, callback=finished.append, **arguments)
    np.testing.assert_array_equal(again.examples, want.examples)
    assert len(finished) == 1  # the check of the inputs alone
    assert again.simulated is want.simulated is ("attack_space" not in more)
    with pytest.raises(ValueError, match="of another search"):
        zoo(net, x, y, checkpoint=tmp_path, **(arguments | {"kappa": 1.0}))
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="must be a whole checkpoint"):
        zoo(net, x, y, checkpoint=tmp_path, **arguments)


@pytest.mark.parametrize("solver", ["adam", "newton"])
@pytest.mark.parametrize("at", [9, 10, 20, 25])  # the space grows at 10, at 20, and would at 25, after the last step
def test_a_search_killed_where_the_space_grows_goes_on(tmp_path, monkeypatch, solver, at):
    monkeypatch.setattr(state, "SECONDS", 0.0)
    net, x = network(), images(2)
    y = net.predict(x)
    arguments = {"steps": 25, "coordinates": 4, "search_steps": 2, "initial_c": 1.0, "learning_rate": 0.05}
    arguments |= {"solver": solver, "attack_space": ((0, 2), (10, 4), (20, 6), (25, 8)), "abort_early": False}
    want = zoo(net, x, y, **arguments)
    plain = state.Checkpoint.save

    def killed(self, arrays, *, now=False):
        plain(self, arrays, now=now)
        if arrays["at"].tolist() == [0, at]:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(state.Checkpoint, "save", killed)
        with pytest.raises(RuntimeError, match="killed"):
            zoo(net, x, y, checkpoint=tmp_path, **arguments)
    got = zoo(net, x, y, checkpoint=tmp_path, **arguments)
    np.testing.assert_array_equal(got.examples, want.examples)
    np.testing.assert_array_equal(got.queries, want.queries)


@pytest.mark.parametrize("more", [{}, {"attack_space": ((0, 2), (3, 4), (8, 8))}])
def test_a_search_that_ran_out_of_queries_goes_on_with_more(tmp_path, more):
    net, x = network(), images()
    y = net.predict(x)
    arguments = {"steps": 15, "search_steps": 2, "coordinates": 8, "initial_c": 1.0, "learning_rate": 0.05, **more}
    few = zoo(net, x, y, checkpoint=tmp_path, max_queries=100, **arguments)
    again = zoo(net, x, y, checkpoint=tmp_path, max_queries=100, **arguments)
    np.testing.assert_array_equal(again.examples, few.examples)
    np.testing.assert_array_equal(again.queries, few.queries)
    got = zoo(net, x, y, checkpoint=tmp_path, **arguments)
    want = zoo(net, x, y, **arguments)
    assert (got.queries > few.queries).all()
    np.testing.assert_array_equal(got.examples, want.examples)
    np.testing.assert_array_equal(got.queries, want.queries)


def test_importance_spares_what_must_not_change():
    net, x = network(), images(2)
    asked = []

    def ask(batch):
        asked.append(batch.copy())
        return net.logits(batch)

    mask = np.arange(64).reshape(1, 8, 8) % 4 == 0
    arguments = {"steps": 12, "c": 5.0, "coordinates": 8, "importance": True, "output": "logits", "randomised": False}
    zoo(ask, x, net.predict(x), mask=mask, **arguments)
    for batch in asked:
        away = np.abs(batch[:, np.newaxis] - x)[:, :, ~mask].max(axis=2)  # of every row from every input
        assert (away.min(axis=1) == 0).all()


@pytest.mark.parametrize("option", ["mask", "quantize", "targets"])
def test_a_checkpoint_does_not_serve_another_search(tmp_path, option):
    net, x = network(), np.rint(images() * 16) / 16
    y = net.predict(x)
    arguments = {"steps": 3, "c": 5.0, "coordinates": 8, "checkpoint": tmp_path}
    zoo(net, x, y, **arguments)
    half = np.arange(64).reshape(1, 8, 8) < 32
    other = {"mask": half, "quantize": 16, "targets": (y + 1) % 4}[option]
    with pytest.raises(ValueError, match="of another search"):
        zoo(net, x, y, **{option: other}, **arguments)
    for mask in (half, ~half):
        with pytest.raises(ValueError, match="of another search"):
            zoo(net, x, y, mask=mask, **arguments)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"preset": "slow"}, ValueError, "preset must be 'paper' or 'fast', got 'slow'"),
        ({"solver": "sgd"}, ValueError, "solver must be 'adam' or 'newton'"),
        ({"variables": "pixels"}, ValueError, "variables must be 'box' or 'tanh'"),
        ({"attack_space": 3}, TypeError, "attack_space must be a list or tuple"),
        ({"attack_space": ((5, 4),)}, ValueError, "grow from step 0"),
        ({"attack_space": ((0, 4), (5, 2))}, ValueError, "grow from step 0"),
        ({"attack_space": ((0, 4),), "variables": "tanh"}, ValueError, "variables must be 'box' with an attack_space"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path"),
        ({"importance": 1}, TypeError, "importance must be True or False"),
    ],
)
def test_wrong_arguments(wrong, error, message):
    x = images(2)
    with pytest.raises(error, match=message):
        zoo(network(), x, np.zeros(2, np.int64), steps=1, **wrong)
