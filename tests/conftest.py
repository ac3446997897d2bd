"""What tests in several files compare differences with."""

import numpy as np
import pytest

from advcore._perturb import Perturbed
from advcore.nn._coordinates import CoordinateProbe, cast


def _whole(network, x, coordinates, h, bounds=None):
    """Evaluate the same moved copies by whole passes of the network in float64."""
    moved = Perturbed(x, coordinates, h, bounds, keep=True)
    logits = (
        cast(network, np.float64)
        .logits(moved.batch().astype(np.float64))
        .reshape(len(x), 2 * coordinates.shape[1] + 1, -1)
    )
    count = coordinates.shape[1]
    return logits[:, 0], logits[:, 1 : count + 1], logits[:, count + 1 :]


def _assert_agree(network, x, coordinates, h, bounds=None, rtol=1e-6, propagated=True):
    probe = CoordinateProbe(network)
    got = probe.values(x, coordinates, h, bounds)
    assert (probe.propagation(x.shape[1:]) is not None) == propagated
    base, plus, minus = _whole(network, x, coordinates, h, bounds)
    scale = max(np.abs(plus - base[:, None]).max(), np.abs(minus - base[:, None]).max(), 1e-9)
    np.testing.assert_allclose(got.base, base, rtol=rtol, atol=rtol * np.abs(base).max())
    ulps = 16 * np.finfo(np.float64).eps * np.abs(base).max()  # what whole passes lose when they are subtracted
    atol = rtol * scale + ulps
    np.testing.assert_allclose(got.plus - got.base[:, None], plus - base[:, None], rtol=0, atol=atol)
    np.testing.assert_allclose(got.minus - got.base[:, None], minus - base[:, None], rtol=0, atol=atol)
    return got


@pytest.fixture(scope="session")
def whole():
    """Give what evaluates base, plus and minus by whole passes in float64."""
    return _whole


@pytest.fixture(scope="session")
def assert_agree():
    """Give what compares a network's propagated differences with whole passes, and returns them."""
    return _assert_agree
