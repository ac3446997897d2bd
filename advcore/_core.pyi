"""The compiled module: called by advcore.ops with checked, contiguous arrays; results go into the first argument."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]

def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def openmp_runtime() -> str: ...
def level() -> str: ...
def available_levels() -> list[str]: ...
def _set_level(name: str) -> None: ...
def fma_loop(out: Array, steps: int) -> int: ...
def triad(out: Array, a: Array, b: Array, scalar: float) -> None: ...
def matmul(out: Array, a: Array, b: Array) -> None: ...
def linear(out: Array, input: Array, weight: Array, bias: Array | None, activation: int) -> None: ...
def linear_input_grad(out: Array, grad_output: Array, weight: Array) -> None: ...
def linear_weight_grad(out: Array, grad_output: Array, input: Array) -> None: ...
def recurrent_forward(
    output: Array,
    gates: Array,
    states: Array,
    cells: Array | None,
    extra: Array | None,
    w_hh: Array,
    candidate_bias: Array | None,
    lengths: NDArray[Any] | None,
    cell: int,
    reverse: bool,
) -> None: ...
def recurrent_backward(
    grad_gates: Array,
    grad_extra: Array | None,
    grad_state: Array,
    grad_cell: Array | None,
    grad_output: Array,
    gates: Array,
    states: Array,
    cells: Array | None,
    extra: Array | None,
    w_hh: Array,
    lengths: NDArray[Any] | None,
    cell: int,
    reverse: bool,
) -> None: ...

# Padding is what lies before the first row and column.
def conv2d(
    out: Array,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    groups: int,
    activation: int,
) -> None: ...
def depthwise(
    out: Array,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    groups: int,
    activation: int,
) -> None: ...
def depthwise_weight_grad(
    out: Array,
    input: Array,
    grad_output: Array,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    groups: int,
) -> None: ...
def conv2d_pack(packed: Array, weight: Array, groups: int) -> None: ...
def conv2d_packed(
    out: Array,
    input: Array,
    packed: Array,
    bias: Array | None,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    groups: int,
    activation: int,
) -> None: ...
def conv2d_input_grad(
    out: Array,
    weight: Array,
    grad_output: Array,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    groups: int,
) -> None: ...
def conv2d_weight_grad(
    out: Array,
    input: Array,
    grad_output: Array,
    stride_y: int,
    stride_x: int,
    padding_y: int,
    padding_x: int,
    dilation_y: int,
    dilation_x: int,
    groups: int,
) -> None: ...

scratch_bytes: int

def conv2d_weight_grad_segments(
    wide: bool, samples: int, positions: int, groups: int, rows: int, patch_rows: int
) -> int: ...
def winograd_weights_size(rows: int, channels: int) -> int: ...
def winograd_weight_grad_segments(
    wide: bool, samples: int, tiles: int, groups: int, rows: int, channels: int
) -> int: ...
def winograd(
    out: Array,
    input: Array,
    weight: Array,
    bias: Array | None,
    padding_y: int,
    padding_x: int,
    groups: int,
    flipped: bool,
    activation: int,
) -> None: ...
def winograd_pack(weight: Array, groups: int) -> Array: ...
def winograd_packed(
    out: Array,
    input: Array,
    transformed: Array,
    bias: Array | None,
    taps: int,
    padding_y: int,
    padding_x: int,
    activation: int,
) -> None: ...
def winograd_weight_grad(
    out: Array, input: Array, grad_output: Array, padding_y: int, padding_x: int, groups: int
) -> None: ...
def relu(out: Array, input: Array) -> None: ...
def sigmoid(out: Array, input: Array) -> None: ...
def tanh(out: Array, input: Array) -> None: ...
def gelu(out: Array, input: Array) -> None: ...
def gelu_tanh(out: Array, input: Array) -> None: ...
def relu_grad(out: Array, grad_output: Array, input: Array) -> None: ...
def gelu_grad(out: Array, grad_output: Array, input: Array) -> None: ...
def gelu_tanh_grad(out: Array, grad_output: Array, input: Array) -> None: ...
def sigmoid_grad(out: Array, grad_output: Array, output: Array) -> None: ...
def tanh_grad(out: Array, grad_output: Array, output: Array) -> None: ...
def softmax(out: Array, input: Array, log: bool) -> None: ...
def softmax_grad(out: Array, grad_output: Array, output: Array, log: bool) -> None: ...
def random_numbers(
    out: Array, samples: Array, seed: int, step: int, stream: int, kind: int, shift: float, scale: float
) -> None: ...
def random_choice(out: Array, samples: Array, seed: int, step: int, stream: int, range: int) -> None: ...
def knn(distances: Array, indices: Array, queries: Array, reference: Array, exclude: Array | None) -> None: ...
def lid(out: Array, distances: Array) -> None: ...
def perturb(
    batch: Array, x: Array, coordinates: Array, upper: Array, lower: Array, keep: bool, first_row: int
) -> None: ...
def first_nonfinite(data: Array) -> int: ...
def max_pool2d(
    out: Array, indices: Array | None, input: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> None: ...
def avg_pool2d(
    out: Array, input: Array, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> None: ...
def max_pool2d_grad(
    out: Array,
    grad_output: Array,
    input: Array | None,
    indices: Array | None,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> bool: ...  # False: an index was outside its plane
def avg_pool2d_grad(
    out: Array, grad_output: Array, kernel: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> None: ...
def adaptive_avg_pool2d(out: Array, input: Array) -> None: ...
def adaptive_avg_pool2d_grad(out: Array, grad_output: Array) -> None: ...
