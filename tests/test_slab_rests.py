"""What an earlier call leaves in the scratch memory reaches no later result."""

import numpy as np
import pytest
import torch

from advcore import ops


def spoil():
    """Fill what depthwise layers use of it with NaN."""
    ops.conv2d_weight_grad(
        np.full((1, 4, 64, 64), np.nan, np.float32), (4, 1, 3, 3), np.ones((1, 4, 62, 62), np.float32), groups=4
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("extent", [7, 14, 31])
def test_nan_of_an_earlier_call_is_not_in_a_depthwise_weight_gradient(dtype, stride, extent):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 4, extent, extent)).astype(dtype)
    options = {"stride": stride, "padding": 1, "groups": 4}
    output = ops.conv2d(x, np.ones((4, 1, 3, 3), dtype), **options)
    grad = generator.standard_normal(output.shape).astype(dtype)
    clean = ops.conv2d_weight_grad(x, (4, 1, 3, 3), grad, **options)
    spoil()
    np.testing.assert_array_equal(ops.conv2d_weight_grad(x, (4, 1, 3, 3), grad, **options), clean)
    want = torch.nn.grad.conv2d_weight(
        torch.from_numpy(x).double(), (4, 1, 3, 3), torch.from_numpy(grad).double(), **options
    )
    np.testing.assert_allclose(clean, want.numpy(), rtol=1e-4, atol=1e-4)


def test_nan_of_a_channel_stays_in_it():
    x, grad = np.ones((1, 3, 14, 14), np.float32), np.ones((1, 3, 7, 7), np.float32)
    x[:, 1] = np.nan
    got = ops.conv2d_weight_grad(x, (3, 1, 3, 3), grad, stride=2, padding=1, groups=3)
    assert np.isfinite(got[[0, 2]]).all()
    assert np.isnan(got[1]).all()
