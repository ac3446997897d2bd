"""Differences through layers that move numbers around, multiply them or normalise by a sample's own moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcore import nn
from advcore.nn._coordinates import CoordinateProbe


def every_kind(shape):
    """Return layers that fit a sample of some shape, among them all that only rearrange it."""
    axes = range(1, len(shape) + 1)
    layers = [nn.Reshape((-1,)), nn.Reshape((shape[-1], -1)), nn.Permute(tuple(axes)[::-1]), nn.ReLU(), nn.Tanh()]
    layers += [
        nn.Permute((*axes[1:], 1)),
        nn.Pad([(i % 2, 1) for i in axes], 0.3),
        nn.Dropout(0.5),
        nn.Scale(-2.0, 1.0),
    ]
    layers += [nn.Slice(axis, 1 if shape[axis - 1] > 1 else 0, None, 2) for axis in axes]
    layers += [nn.Slice(1, None, None, -1), nn.LayerNorm(shape[-1:]), nn.LayerNorm(shape), nn.Linear(shape[-1], 3)]
    layers += [nn.Softmax(), nn.BatchNorm(shape[0]), nn.GroupNorm(1, shape[0]), nn.GroupNorm(shape[0], shape[0])]
    if len(shape) > 1:
        layers += [nn.Mean((axis,), keepdims) for axis in axes for keepdims in (False, True)]
        layers += [nn.LayerNorm(shape[1:]), nn.InstanceNorm(shape[0], affine=True)]
    if len(shape) == 2:
        layers += [nn.GRU(shape[1], 5, bidirectional=True), nn.Reshape((1, *shape))]
    if len(shape) == 3:
        layers += [nn.Conv2d(shape[0], 4, 2, padding=1), nn.MaxPool2d(2, padding=1), nn.Mean((1, 3)), nn.RowsAsSteps()]
        layers += [nn.Reshape((1, 2, *shape[:2], -1)) if shape[2] % 2 == 0 else nn.Reshape((1, *shape))]
    return layers


@st.composite
def networks(draw):
    """Draw a network of such layers, some of whose outputs are multiplied, added or put side by side."""
    shapes = {"input": tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))}
    layers, wiring = {}, {}
    for _ in range(draw(st.integers(1, 7))):
        before = list(shapes)[-1]
        layer, inputs = draw(st.sampled_from(every_kind(shapes[before]))), (before,)
        if draw(st.booleans()) and len(shapes) > 1:
            other = draw(st.sampled_from(list(shapes)))
            layer = draw(st.sampled_from([nn.Multiply(), nn.Add(), nn.Concatenate(1), nn.Concatenate(2)]))
            inputs = (other, before)
        try:
            if isinstance(layer, (nn.Multiply, nn.Add, nn.Concatenate)):
                after = layer.output_shape_all([shapes[name] for name in inputs])
            else:
                after = layer.output_shape(shapes[before])
        except ValueError:
            continue
        if not 0 < np.prod(after) < 400:
            continue
        name = f"layer{len(layers)}"
        layers[name], shapes[name], wiring[name] = layer, after, inputs
    used = {name for inputs in wiring.values() for name in inputs}
    last = list(shapes)[-1]
    for name in [name for name in layers if name not in used and name != last]:
        layers[f"flat {name}"] = nn.Flatten()
        wiring[f"flat {name}"] = (name,)
    ends = [name for name in layers if name.startswith("flat ")]
    layers["flat"], wiring["flat"] = nn.Flatten(), (last,)
    layers["all"], wiring["all"] = nn.Concatenate(), (*ends, "flat")
    layers["last"] = nn.Linear(
        int(sum(np.prod(shapes[name.removeprefix("flat ")]) for name in ends)) + int(np.prod(shapes[last])), 3
    )
    seed = draw(st.integers(0, 2**20))
    network = nn.Network(layers, wiring=wiring, seed=seed, dtype=np.float64)
    rng = np.random.default_rng(seed)
    for name, array in network.parameters().items():
        if array.ndim == 1 and name.endswith("weight"):
            array[...] = rng.uniform(-2, 2, array.shape)
    return network, shapes["input"], rng


@settings(deadline=None, max_examples=80)
@given(drawn=networks())
def test_random_networks(assert_agree, drawn):
    network, shape, rng = drawn
    x = rng.uniform(-1, 1, (2, *shape))
    coordinates = np.stack([rng.permutation(x[0].size)[:6] for _ in x])
    unknown = any(len(s) > 3 for s in network._shapes(shape).values())
    if unknown and CoordinateProbe(network).propagation(shape) is None:
        return  # means and concatenations over inner axes of many
    assert_agree(network, x, coordinates, 1e-2, rtol=1e-7)


def norms(shape):
    channels = shape[0]
    return [
        nn.LayerNorm(shape[-1]),
        nn.LayerNorm(shape[-2:]),
        nn.LayerNorm(shape),
        nn.GroupNorm(2, channels),
        nn.InstanceNorm(channels, affine=True),
    ]


@pytest.mark.parametrize("norm", range(5))
def test_norms_in_float32(assert_agree, norm):
    shape = (4, 5, 6)
    layer = norms(shape)[norm]
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), layer, nn.ReLU(), nn.Flatten(), nn.Linear(120, 3))
    rng = np.random.default_rng(norm)
    for name, parameter in network.parameters().items():
        if name.startswith("1."):
            parameter[...] = rng.uniform(-2, 2, parameter.shape)
    x = rng.uniform(0, 1, (2, *shape)).astype(np.float32)
    coordinates = np.stack([rng.permutation(120)[:20] for _ in x])
    for h in (1e-5, 1e-2, 3.0):
        assert_agree(network, x, coordinates, h, rtol=2e-5)


def test_a_constant_group_has_only_eps():
    network = nn.Sequential(nn.LayerNorm(4, eps=1e-3), nn.Linear(4, 2), dtype=np.float64)
    x = np.full((1, 4), 0.5)
    values = CoordinateProbe(network).values(x, np.array([[1]]), 1e-3)
    moved = x.copy()
    moved[0, 1] += 1e-3
    np.testing.assert_allclose(values.plus[0], network.logits(moved), rtol=1e-9)


def test_coordinates_that_are_sliced_away_change_nothing():
    network = nn.Sequential(nn.Slice(2, 1, None, 2), nn.Pad(((0, 0), (1, 0), (0, 2))), nn.Flatten(), nn.Linear(24, 3))
    x = np.random.default_rng(0).uniform(0, 1, (1, 1, 6, 4)).astype(np.float32)
    values = CoordinateProbe(network).values(x, np.arange(24)[None], 0.1)
    moved = (values.plus != values.base[:, None]).any(axis=2).reshape(6, 4)
    np.testing.assert_array_equal(moved.any(axis=1), [False, True] * 3)


def test_windows_stay_narrow_through_padding_and_channels_last():
    layers = [
        nn.Permute((3, 1, 2)),
        nn.Pad(((0, 0), (1, 1), (1, 1))),
        nn.Conv2d(2, 3, 3),
        nn.Permute((2, 3, 1)),
        nn.LayerNorm(3),
    ]
    layers += [
        nn.Linear(3, 4),
        nn.Permute((3, 1, 2)),
        nn.Pad(((0, 0), (2, 0), (0, 0))),
        nn.Conv2d(4, 2, 1),
        nn.Flatten(),
    ]
    network = nn.Sequential(*layers, nn.Linear(2 * 10 * 8, 2))
    costs = nn.coordinate_costs(network, np.random.default_rng(0).uniform(0, 1, (8, 8, 2)).astype(np.float32))
    assert [cost.window for cost in costs] == [(3, 3), (3, 3), (3, 3), (1, 1)]
    assert [cost.size for cost in costs] == [(8, 8), (8, 8), (10, 8), (1, 1)]
