"""Counter-based random numbers against the published Random123 vectors and an independent Philox in Python."""

import math

import numpy as np
import pytest

import advcore
from advcore import _core, _random

PI_COUNTER, PI_KEY = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
ONES = 0xFFFFFFFF
KNOWN = [  # counter, key, output of philox4x32-10 in Random123's kat_vectors
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (PI_COUNTER, PI_KEY, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


def philox(counter, key):
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        even, odd = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (odd >> 32) ^ b ^ k, odd & ONES, (even >> 32) ^ d ^ m, even & ONES
        k, m = (k + 0x9E3779B9) & ONES, (m + 0xBB67AE85) & ONES
    return a, b, c, d


def row_bits(seed, sample, step, size, stream, kind):
    """The 64-bit numbers of a row, from the layout of the counter: position, step, sample with stream and kind."""
    bits = []
    for block in range((size + 1) // 2):
        counter = (block, step, sample & ONES, sample >> 32 | stream << 16 | kind << 28)
        a, b, c, d = philox(counter, (seed & ONES, seed >> 32))
        bits += [a | b << 32, c | d << 32]
    return bits[:size]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_python_twin_gives_the_published_vectors(counter, key, output):
    assert philox(counter, key) == output


def test_zero_counter_and_key_give_the_published_vector():
    a, b, c, d = KNOWN[0][2]
    expected = [((b << 32 | a) >> 11) * 2.0**-53, ((d << 32 | c) >> 11) * 2.0**-53]
    np.testing.assert_array_equal(_random.uniform(0, np.array([0]), 0, 2), [expected])


KEYS = [
    (0, 0, 0, 0),
    (7, 1, 2, 3),
    (PI_KEY[1] << 32 | PI_KEY[0], 2**48 - 1, ONES, 4095),
    (2**64 - 1, 2**32 + 5, 0x85A308D3, 9),
]


@pytest.mark.parametrize(("seed", "sample", "step", "stream"), KEYS)
def test_rows_are_the_twins(seed, sample, step, stream):
    ids = np.array([sample])

    def twin(size, kind):
        return row_bits(seed, sample, step, size, stream, kind)

    u = np.array([(bits >> 11) * 2.0**-53 for bits in twin(9001, 0)])
    np.testing.assert_array_equal(_random.uniform(seed, ids, step, 9001, stream=stream)[0], u)
    single = _random.uniform(seed, ids, step, 9001, low=-2, high=3, dtype=np.float32, stream=stream)[0]
    np.testing.assert_array_equal(single, (-2 + 5 * u).astype(np.float32))

    v = np.array([(bits >> 11) * 2.0**-53 for bits in twin(5000, 1)]).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log1p(-v[:, 0])), 2 * math.pi * v[:, 1]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()
    normal = _random.normal(seed, ids, step, 5000, stream=stream)[0]
    np.testing.assert_allclose(normal, expected, rtol=1e-14, atol=1e-14)
    scaled = _random.normal(seed, ids, step, 4999, mean=1, std=0.5, stream=stream)[0]
    np.testing.assert_array_equal(scaled, 1 + 0.5 * normal[:-1])

    signs = [1.0 if bits >> 63 else -1.0 for bits in twin(33, 2)]
    np.testing.assert_array_equal(_random.sign(seed, ids, step, 33, stream=stream)[0], signs)

    order = list(range(50))
    for i, bits in enumerate(twin(50, 3)):
        j = i + (bits * (50 - i) >> 64)
        order[i], order[j] = order[j], order[i]
    np.testing.assert_array_equal(_random.choice(seed, ids, step, 50, 50, stream=stream)[0], order)
    np.testing.assert_array_equal(_random.choice(seed, ids, step, 50, 7, stream=stream)[0], order[:7])


DRAWS = {
    "uniform": lambda ids: _random.uniform(3, ids, 5, 10_001),
    "normal": lambda ids: _random.normal(3, ids, 5, 10_001, dtype=np.float32),
    "sign": lambda ids: _random.sign(3, ids, 5, 77),
    "choice": lambda ids: _random.choice(3, ids, 5, 784, 128),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_row_depends_on_nothing_around_it(draw):
    ids = np.array([4, 0, 2**40, 9, 1])
    before, level = advcore.get_num_threads(), _core.level()
    together = draw(ids)
    try:
        advcore.set_num_threads(3)
        np.testing.assert_array_equal(draw(ids), together)
        for name in _core.available_levels():
            _core._set_level(name)
            np.testing.assert_array_equal(draw(ids[::-1]), together[::-1])
    finally:
        advcore.set_num_threads(before)
        _core._set_level(level)
    for row, sample in enumerate(ids):
        np.testing.assert_array_equal(draw(np.array([sample]))[0], together[row])


def test_moments():
    ids = np.arange(200)
    u, z, s = _random.uniform(1, ids, 0, 2000), _random.normal(1, ids, 0, 2000), _random.sign(1, ids, 0, 2000)
    assert u.min() >= 0
    assert u.max() < 1
    error = 4 / math.sqrt(u.size)  # 4 standard errors of a unit variance
    assert abs(u.mean() - 0.5) < error
    assert abs(s.mean()) < error
    assert abs(z.mean()) < error
    assert abs((z**2).mean() - 1) < math.sqrt(2) * error
    assert abs((z**4).mean() - 3) < math.sqrt(96) * error
    assert abs((z[:, ::2] * z[:, 1::2]).mean()) < math.sqrt(2) * error


def test_choice_is_uniform_and_without_replacement():
    chosen = _random.choice(1, np.arange(20_000), 3, 10, 4)
    assert all(len(set(row)) == 4 for row in chosen[:500].tolist())
    for position in range(4):
        counts = np.bincount(chosen[:, position], minlength=10)
        assert np.abs(counts - 2000).max() < 5 * math.sqrt(2000)


def test_streams_steps_samples_and_seeds_differ():
    def draw(seed=0, sample=0, step=0, stream=0):
        return _random.uniform(seed, np.array([sample]), step, 1, stream=stream).item()

    keys = [{}, {"seed": 1}, {"seed": 2**32}, {"sample": 1}, {"sample": 2**32}, {"step": 1}, {"stream": 1}]
    assert len({draw(**key) for key in keys}) == len(keys)


def test_sizes_of_zero():
    none = np.zeros(0, np.int64)
    assert _random.uniform(0, none, 0, 5).shape == (0, 5)
    assert _random.normal(0, np.array([1]), 0, 0).shape == (1, 0)
    assert _random.choice(0, none, 0, 5, 2).shape == (0, 2)
    assert _random.choice(0, np.array([1]), 0, 0, 0).shape == (1, 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: _random.uniform(-1, np.array([0]), 0, 1), ValueError, "seed must be at least 0, got -1"),
        (lambda: _random.uniform(2**64, np.array([0]), 0, 1), ValueError, "seed must be at most"),
        (lambda: _random.uniform(0, np.array([0.5]), 0, 1), TypeError, "sample_ids must be an array of integers"),
        (lambda: _random.uniform(0, np.array([2**48]), 0, 1), ValueError, "sample_ids must be in"),
        (lambda: _random.uniform(0, np.array([[0]]), 0, 1), ValueError, "sample_ids must have shape"),
        (lambda: _random.uniform(0, np.array([0]), 0, 1, stream=4096), ValueError, "stream must be at most 4095"),
        (lambda: _random.uniform(0, np.array([0]), 0, 1, dtype=np.float16), TypeError, "dtype must be float32"),
        (lambda: _random.uniform(0, np.array([0]), 2**32, 1), ValueError, "step must be at most"),
        (lambda: _random.choice(0, np.array([0]), 0, 3, 4), ValueError, "k must be at most 3, got 4"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
