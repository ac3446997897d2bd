"""The compiled module: called by advcore.ops with checked, contiguous arrays; results go into the first argument."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]

def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def openmp_runtime() -> str: ...
def level() -> str: ...
def available_levels() -> list[str]: ...
def _set_level(name: str) -> None: ...
def is_plain(
    value: object,
    dtype: np.dtype[Any] | None,
    shape: Sequence[int | None] | None,
    least_axes: int,
    most_axes: int,
    /,
) -> TypeGuard[Array]: ...
def can_receive(
    out: object, shape: Sequence[int], dtype: np.dtype[Any], inputs: Sequence[Array | None], /
) -> TypeGuard[Array]: ...
def new_array(shape: Sequence[int], dtype: np.dtype[Any]) -> Array: ...
def kept_bytes() -> int: ...
def fma_loop(out: Array, steps: int) -> int: ...
def triad(out: Array, a: Array, b: Array, scalar: float) -> None: ...
def matmul(out: Array, a: Array, b: Array) -> None: ...
def linear(out: Array, input: Array, weight: Array, bias: Array | None, activation: int) -> None: ...
def linear_input_grad(out: Array, grad_output: Array, weight: Array) -> None: ...
def linear_weight_grad(out: Array, grad_output: Array, input: Array) -> None: ...
def recurrent_forward(
    output: Array,
    last_state: Array,
    last_cell: Array | None,
    input: Array,
    first_state: Array | None,
    first_cell: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    lengths: NDArray[Any] | None,
    gates: Array | None,
    states: Array | None,
    cells: Array | None,
    extra: Array | None,
    cell: int,
    reverse: bool,
) -> None: ...
def recurrent_backward(
    grad_input: Array | None,
    grad_w_ih: Array | None,
    grad_w_hh: Array | None,
    grad_b_ih: Array | None,
    grad_b_hh: Array | None,
    grad_state: Array,
    grad_cell: Array | None,
    grad_output: Array,
    input: Array,
    w_ih: Array,
    w_hh: Array,
    lengths: NDArray[Any] | None,
    gates: Array,
    states: Array,
    cells: Array | None,
    extra: Array | None,
    cell: int,
    reverse: bool,
) -> None: ...
def batch_norm_lstm_forward(
    output: Array,
    input_part: Array,
    state_part: Array,
    gates: Array,
    states: Array,
    cells: Array,
    tanh_cell: Array,
    mean: Array,
    variance: Array,
    params: list[Array],
    eps: float,
    training: bool,
) -> None: ...
def batch_norm_lstm_backward(
    grad_input_part: Array,
    grad_state_part: Array,
    grad_state: Array,
    grad_cell: Array,
    grad_params: list[Array],
    grad_output: Array,
    input_part: Array,
    state_part: Array,
    gates: Array,
    states: Array,
    cells: Array,
    tanh_cell: Array,
    mean: Array,
    variance: Array,
    params: list[Array],
    eps: float,
    training: bool,
) -> None: ...

# Arrays are folded to (samples, channels, plane); groups is 0 where a channel of all samples is normalised.
def normalize(
    out: Array,
    mean: Array | None,
    rstd: Array | None,
    input: Array,
    weight: Array | None,
    bias: Array | None,
    folded: tuple[int, int, int],
    groups: int,
    eps: float,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float,
) -> None: ...
def normalize_fixed(
    out: Array,
    input: Array,
    mean: Array | None,
    variance: Array,
    weight: Array | None,
    bias: Array | None,
    folded: tuple[int, int, int],
    eps: float,
) -> None: ...
def normalize_grad(
    grad_input: Array,
    grad_weight: Array | None,
    grad_bias: Array | None,
    grad_output: Array,
    input: Array,
    weight: Array | None,
    mean: Array,
    rstd: Array,  # the variance where eps is given: then both are fixed, and do not depend on the input
    folded: tuple[int, int, int],
    groups: int,
    eps: float | None,
) -> None: ...
def first_negative(x: Array) -> int: ...

# Stride, padding (before the first element) and dilation, each vertical and horizontal, and groups.
ConvOptions = tuple[int, int, int, int, int, int, int]

def conv2d(
    out: Array,
    input: Array,
    weight: Array,
    bias: Array | None,
    options: ConvOptions,
    flipped: bool,
    activation: int,
) -> None: ...
def depthwise(
    out: Array,
    input: Array,
    weight: Array,
    bias: Array | None,
    options: ConvOptions,
    activation: int,
) -> None: ...
def depthwise_input_grad(
    out: Array,
    weight: Array,
    grad_output: Array,
    options: ConvOptions,
) -> None: ...
def depthwise_weight_grad(
    out: Array,
    input: Array,
    grad_output: Array,
    options: ConvOptions,
) -> None: ...
def conv2d_pack(
    weight: Array,
    input_size: tuple[int, int],
    output_size: tuple[int, int],
    options: ConvOptions,
) -> Array: ...
def conv2d_packed(
    out: Array,
    input: Array,
    packed: Array,
    bias: Array | None,
    taps_y: int,
    taps_x: int,
    options: ConvOptions,
    activation: int,
) -> None: ...
def conv2d_input_grad(
    out: Array,
    weight: Array,
    grad_output: Array,
    options: ConvOptions,
) -> None: ...
def conv2d_weight_grad(
    out: Array,
    input: Array,
    grad_output: Array,
    options: ConvOptions,
) -> None: ...

scratch_bytes: int

def conv2d_weight_grad_segments(
    wide: bool, samples: int, positions: int, groups: int, rows: int, patch_rows: int
) -> int: ...
def winograd_packed_size(
    wide: bool, rows: int, channels: int, taps: int, output: tuple[int, int], groups: int
) -> int: ...
def winograd_input_grad_packed_size(rows: int, channels: int, groups: int) -> int: ...
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
def winograd_pack(weight: Array, output: tuple[int, int], groups: int) -> Array: ...
def winograd_packed(
    out: Array,
    input: Array,
    packed: Array,
    bias: Array | None,
    taps: int,
    padding_y: int,
    padding_x: int,
    activation: int,
) -> None: ...
def winograd_input_grad(
    out: Array, weight: Array, grad_output: Array, padding_y: int, padding_x: int, groups: int
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
def knn(
    distances: Array,
    indices: Array,
    queries: Array,
    reference: Array,
    exclude: Array | None,
    basis: Array | None,
    skew: float,
) -> None: ...

class PreparedReference32:
    def __init__(self, reference: Array, basis: Array | None, skew: float) -> None: ...
    def search(self, distances: Array, indices: Array, queries: Array, exclude: Array | None) -> None: ...

class PreparedReference64:
    def __init__(self, reference: Array, basis: Array | None, skew: float) -> None: ...
    def search(self, distances: Array, indices: Array, queries: Array, exclude: Array | None) -> None: ...

def knn_tells_nonfinite(reference: Array) -> bool: ...
def lid(out: Array, distances: Array) -> None: ...
def checksum(data: Array) -> int: ...
def gains_channels_last(groups: int, rows: int, channels: int) -> bool: ...

class Program32:
    def __init__(self, input_size: int) -> None: ...
    def linear(self, x: int, weight: Array, bias: Array | None, activation: int) -> int: ...
    def conv2d(
        self,
        x: int,
        weight: Array,
        factors: Array | None,
        bias: Array | None,
        input: Pair,
        output: Pair,
        options: ConvOptions,
        algorithm: int,
        activation: int,
        turned_options: ConvOptions | None,
        turned_algorithm: int,
        for_channels_last: bool,
    ) -> int: ...
    def pointwise(self, x: int, operation: int) -> int: ...
    def softmax(self, x: int, length: int, log: bool) -> int: ...
    def sum(self, a: int, b: int, relu: bool) -> int: ...
    def concatenate(self, inputs: list[int]) -> int: ...
    def max_pool(
        self,
        x: int,
        channels: int,
        input: Pair,
        output: Pair,
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
    ) -> int: ...
    def avg_pool(
        self,
        x: int,
        channels: int,
        input: Pair,
        output: Pair,
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        count_include_pad: bool,
    ) -> int: ...
    def adaptive_avg_pool(self, x: int, channels: int, input: Pair, output: Pair) -> int: ...
    def finish(self, output: int) -> None: ...
    def tape_size(self) -> int: ...
    def finish_keeping(self, output: int) -> None: ...
    def kept_size(self) -> int: ...
    def kept_at(self, buffer: int) -> int: ...
    def size_of(self, buffer: int) -> int: ...
    def keep(self, x: Array, out: Array, memory: Array) -> None: ...
    def run(self, x: Array, out: Array) -> None: ...
    def vjp(self, x: Array, cotangent: Array, gradient: Array) -> None: ...
    def forward(self, x: Array, out: Array, tape: Array) -> int: ...
    def backward(self, x: Array, out: Array, cotangent: Array, gradient: Array, tape: Array, piece: int) -> None: ...

class Program64(Program32): ...

class Propagation32:
    def __init__(self, channels: int, rows: int, cols: int) -> None: ...
    def base_like(self, x: int) -> int: ...
    def conv2d(self, x: int, weight: Array, input: Pair, output: Pair, options: ConvOptions) -> int: ...
    def linear(self, x: int, weight: Array) -> int: ...
    def scale(self, x: int, factors: list[float]) -> int: ...
    def clip(self, x: int, base: int, low: float, high: float, slope: float) -> int: ...
    def smooth(self, x: int, base: int, function: int) -> int: ...
    def max_pool(
        self,
        x: int,
        base: int,
        base_out: int,
        input: Pair,
        output: Pair,
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        relu: bool,
    ) -> int: ...
    def mean(
        self, x: int, rows: list[Pair], cols: list[Pair], row_divisors: list[float], col_divisors: list[float]
    ) -> int: ...
    def softmax(self, x: int, base_out: int, log: bool) -> int: ...
    def sum(self, inputs: list[int]) -> int: ...
    def concatenate(self, inputs: list[int]) -> int: ...
    def product(self, x: int, y: int, base_x: int, base_y: int) -> int: ...
    def gather(self, x: int, source: Array, rows: list[Pair], cols: list[Pair]) -> int: ...
    def normalize(self, x: int, base: int, groups: int, by_position: bool, weight: Array, eps: float) -> int: ...
    def recurrent(self, x: int, base: int, cell: int, w_ih: Array, w_hh: Array, reverse: bool, last: bool) -> int: ...
    def base_of(self, size: int) -> int: ...
    def finish(self, output: int) -> None: ...
    def prepare(self, bases: list[Array], samples: int) -> None: ...
    def run(self, sample: Array, coordinate: Array, step: Array, out: Array, kinked: Array) -> None: ...
    def costs(self) -> list[tuple[int, int, int, list[int], list[int], Pair]]: ...

class Propagation64(Propagation32): ...

def perturb(
    batch: Array, x: Array, coordinates: Array, upper: Array, lower: Array, keep: bool, first_row: int
) -> None: ...
def fab_move(
    out: Array,
    x: Array,
    origin: Array,
    normal: Array,
    gap: Array,
    low: float,
    high: float,
    eta: float,
    most_share: float,
    norm: int,
) -> None: ...
def nearest_in_ball(
    out: Array,
    x: Array,
    origin: Array,
    lower: Array | None,
    upper: Array | None,
    slots: Array,
    low: float,
    high: float,
    eps: float,
) -> None: ...
def signed_step(
    out: Array,
    x: Array,
    previous: Array | None,
    ascent: Array,
    sizes: Array,
    lower: Array,
    upper: Array,
    slots: Array,
    momentum: float,
) -> None: ...
def splice(
    out: Array, out_at: Array, kept: Array, slots: Array, region: Array | None, region_at: Array | None
) -> None: ...
def sgd_update(
    parameter: Array,
    grad: Array,
    velocity: Array | None,
    rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None: ...
def rmsprop_update(
    parameter: Array,
    grad: Array,
    velocity: Array | None,
    square: Array,
    rate: float,
    momentum: float,
    decay: float,
    eps: float,
    weight_decay: float,
) -> None: ...
def adam_update(
    parameter: Array,
    grad: Array,
    mean: Array,
    square: Array,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction: float,
    weight_decay: float,
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
