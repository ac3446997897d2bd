"""Convolution and pooling read and write nothing beyond its arrays: they lie against pages that must not be touched."""

import ctypes
import mmap
import sys

import numpy as np
import pytest

from advcore import _core, ops

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's mprotect")

PAGE = mmap.PAGESIZE


def guarded(values, at_end):
    """A copy of values whose last (or first) element touches a page without access."""
    pages = -(-values.nbytes // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (0, pages + 1):
        assert libc.mprotect(ctypes.c_void_p(start + page * PAGE), ctypes.c_size_t(PAGE), 0) == 0
    offset = PAGE + (pages * PAGE - values.nbytes if at_end else 0)
    copy = np.frombuffer(memory, values.dtype, values.size, offset).reshape(values.shape)
    copy[...] = values
    return copy


@pytest.fixture(params=_core.available_levels())
def level(request):
    before = _core.level()
    _core._set_level(request.param)
    yield request.param
    _core._set_level(before)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("size", "weight_size", "options"),
    [
        ((1, 1, 5, 7), (3, 1, 3, 3), {"padding": 1}),
        ((2, 3, 9, 21), (5, 3, 3, 3), {}),
        ((2, 20, 6, 6), (17, 20, 3, 3), {"padding": 2, "dilation": 2}),
        ((2, 3, 19, 19), (5, 3, 3, 5), {"stride": 2, "padding": 1}),
        ((2, 3, 15, 14), (5, 3, 4, 3), {"stride": 3, "padding": 2}),
        ((1, 3, 35, 35), (5, 3, 11, 11), {"stride": 4, "padding": 2}),
        ((3, 4, 7, 7), (8, 2, 1, 1), {"groups": 2}),
        ((1, 20, 7, 6), (37, 20, 1, 1), {}),
        ((2, 20, 7, 6), (37, 20, 1, 1), {}),
        ((2, 20, 11, 11), (21, 20, 1, 1), {}),
        ((1, 5, 15, 14), (32, 5, 4, 4), {"stride": 2}),
        ((2, 9, 23, 27), (44, 9, 3, 3), {"dilation": 2, "padding": 1}),
        ((5, 2, 2, 2), (3, 2, 2, 2), {}),
        ((2, 70, 9, 31), (2, 70, 3, 3), {"padding": 1}),
        ((2, 40, 7, 7), (40, 1, 3, 3), {"padding": 1, "groups": 40}),
        ((1, 70, 2, 3), (140, 1, 3, 3), {"padding": 2, "groups": 70}),
        ((2, 33, 9, 40), (33, 1, 3, 3), {"padding": 1, "stride": 2, "groups": 33}),
        ((2, 70, 3, 4), (70, 1, 3, 3), {"padding": 2, "stride": 2, "groups": 70}),
    ],
)
def test_memory_beyond_the_arrays_is_not_touched(size, weight_size, options, dtype, at_end, level):
    rng = np.random.default_rng(0)
    x, weight = (guarded(rng.standard_normal(shape).astype(dtype), at_end) for shape in (size, weight_size))
    out = guarded(ops.conv2d(x.copy(), weight.copy(), **options), at_end)
    want = out.copy()
    assert ops.conv2d(x, weight, **options, out=out) is out
    np.testing.assert_array_equal(out, want)
    grad_input, grad_weight = guarded(x, at_end), guarded(weight, at_end)
    assert ops.conv2d_input_grad(size, weight, out, **options, out=grad_input) is grad_input
    assert ops.conv2d_weight_grad(x, weight_size, out, **options, out=grad_weight) is grad_weight


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pool", [ops.avg_pool2d, ops.max_pool2d])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((3, 5, 7, 7), 7, 1, 0),  # whole planes: registers reach into the next
        ((2, 8, 7, 7), 7, 1, 0),
        ((1, 9, 2, 3), (2, 3), 1, 0),
        ((2, 3, 16, 16), 2, 2, 0),
        ((2, 3, 17, 17), 3, 2, 0),
        ((2, 3, 18, 37), 3, 2, 1),
        ((2, 3, 9, 33), 3, 1, 1),
    ],
)
def test_pooling_does_not_touch_memory_beyond_the_arrays(pool, size, kernel, stride, padding, dtype, at_end, level):
    x = guarded(np.random.default_rng(0).standard_normal(size).astype(dtype), at_end)
    want = pool(x.copy(), kernel, stride, padding)
    out = guarded(want, at_end)
    assert pool(x, kernel, stride, padding, out=out) is out
    np.testing.assert_array_equal(out, want)
