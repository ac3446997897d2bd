"""What a convolution takes of memory: said, and seen as the growth of a process's resident memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import advcore
from advcore import ops

PACKAGES = Path(advcore.__file__).parents[1]  # `python -c` looks in the current folder first: not in the source tree
MEBIBYTE = 2**20

MEASURE = """
import resource, sys
import numpy as np
import advcore
from advcore import ops

operation, batch, channels, size, outputs, taps, stride, padding, algorithm = sys.argv[1:]
batch, channels, size, outputs, taps, stride, padding = map(int, (batch, channels, size, outputs, taps, stride, padding))
advcore.set_num_threads(1)
x = np.ones((batch, channels, size, size), np.float32)
w = np.ones((outputs, channels, taps, taps), np.float32)
options = {"stride": stride, "padding": padding, "algorithm": algorithm}
tiny = ops.conv2d(x[:1], w[:1], **options)
side = tiny.shape[-1]
y = np.ones((batch, outputs, side, side), np.float32)
gx, gw = np.ones_like(x), np.ones_like(w)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if operation == "forward":
    ops.conv2d(x, w, **options, out=y)
elif operation == "input_grad":
    ops.conv2d_input_grad(x.shape, w, y, **options, out=gx)
else:
    ops.conv2d_weight_grad(x, w.shape, y, **options, out=gw)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

# batch, channels, size, outputs, taps, stride, padding, algorithm
LAYERS = {
    "winograd": (32, 256, 14, 256, 3, 1, 1, "auto"),
    "wide winograd": (16, 512, 14, 512, 3, 1, 1, "auto"),
    "many parts": (64, 64, 30, 64, 3, 1, 0, "auto"),
    "fewer tiles of outputs than of inputs": (64, 96, 10, 320, 3, 1, 0, "auto"),
    "winograd of 5 x 5": (16, 64, 27, 192, 5, 1, 2, "auto"),
    "direct": (16, 256, 14, 512, 3, 1, 1, "direct"),
    "strided": (16, 64, 56, 128, 5, 2, 2, "auto"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize("operation", ["forward", "input_grad", "weight_grad"])
@pytest.mark.parametrize("layer", LAYERS)
def test_memory_stays_within_what_is_said(layer, operation):
    batch, channels, size, outputs, taps, stride, padding, algorithm = LAYERS[layer]
    said = ops.conv2d_workspace(
        (batch, channels, size, size), (outputs, channels, taps, taps), stride, padding, algorithm=algorithm
    )
    command = [sys.executable, "-c", MEASURE, operation, *map(str, LAYERS[layer])]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGES)
    grown = 1024 * int(run.stdout)
    assert said.per_thread <= 8 * MEBIBYTE
    assert grown <= said.per_thread + getattr(said, operation) + 2 * MEBIBYTE


def test_what_is_said_of_a_layer_that_is_known():
    said = ops.conv2d_workspace((32, 256, 14, 14), (256, 256, 3, 3), padding=1)
    assert said.forward == said.input_grad == 4 * 36 * (256 * 256 + 16)  # 36 frequencies of every filter
    assert ops.PackedConv2d(np.ones((256, 256, 3, 3), np.float32), padding=1, input_size=(256, 14, 14))
    fewer = ops.conv2d_workspace((32, 64, 10, 10), (128, 64, 3, 3))  # four tiles and nine: the transposed transforms
    assert fewer.input_grad == 4 * 36 * (64 * 128 + 16)
    direct = ops.conv2d_workspace((32, 256, 14, 14), (256, 256, 3, 3), padding=1, algorithm="direct", dtype="float64")
    assert direct.forward == 8 * 9 * 256 * 256
    depthwise = ops.conv2d_workspace((32, 64, 14, 14), (64, 1, 3, 3), padding=1, groups=64)
    assert (depthwise.forward, depthwise.weight_grad) == (0, 0)  # weights are taken as they are


def test_no_figure_grows_with_the_batch_for_ever():
    few = ops.conv2d_workspace((1280, 64, 30, 30), (64, 64, 3, 3))
    many = ops.conv2d_workspace((128000, 64, 30, 30), (64, 64, 3, 3))
    assert few == many
    assert ops.conv2d_workspace((0, 64, 30, 30), (64, 64, 3, 3), algorithm="direct").weight_grad == 0


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="input must have 3 channels"):
        ops.conv2d_workspace((1, 2, 8, 8), (4, 3, 3, 3))
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        ops.conv2d_workspace((1, 3, 8, 8), (4, 3, 3, 3), dtype="int8")
