"""Every case of every operation against PyTorch in float64: instruction-set level x threads x element type."""

import numpy as np
import pytest

import advcore
from advcore import _core
from advcore._cases import CASES, compare, run, run_reference, tolerance

SWEEP = [case for case in CASES if not case.bench]


@pytest.fixture(params=_core.available_levels())
def level(request):
    before = _core.level()
    _core._set_level(request.param)
    yield request.param
    _core._set_level(before)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = advcore.get_num_threads()
    advcore.set_num_threads(request.param)
    yield request.param
    advcore.set_num_threads(before)


def views(inputs):
    """The same numbers in arrays that start at an offset and skip elements along every axis."""

    def view(value):
        if isinstance(value, tuple):
            return tuple(view(part) for part in value)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return value
        wide = np.full(tuple(2 * n + 1 for n in value.shape), np.nan, value.dtype)
        part = wide[(*(slice(1, None, 2) for _ in value.shape), ...)]
        part[...] = value
        return part

    return {name: view(value) for name, value in inputs.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("case", SWEEP, ids=lambda case: case.name)
def test_agrees_with_pytorch_in_float64(case, dtype, level, threads):
    inputs = case.inputs(dtype)
    got = run(case, inputs)
    assert all(array.dtype in (dtype, np.int64) for array in got)
    assert compare(got, run_reference(case, inputs)) <= tolerance(dtype, case.terms)


@pytest.mark.parametrize("case", SWEEP, ids=lambda case: case.name)
def test_strided_and_offset_views_give_the_same_bits(case):
    inputs = case.inputs(np.float32)
    for ours, of_views in zip(run(case, inputs), run(case, views(inputs)), strict=True):
        np.testing.assert_array_equal(ours, of_views)


@pytest.mark.parametrize("case", SWEEP, ids=lambda case: case.name)
def test_two_threads_give_the_bits_of_one(case):
    inputs = case.inputs(np.float32)
    before = advcore.get_num_threads()
    results = []
    for count in (1, 2, 5):
        advcore.set_num_threads(count)
        results.append(run(case, inputs))
    advcore.set_num_threads(before)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
