"""The yardstick: the arithmetic of advcore.ops, under its names, on torch tensors, computed by PyTorch.

Anyone can run an operation here and in advcore.ops and compare. Gradients come from torch.autograd.
"""

try:
    import torch as _torch  # noqa: F401  # only to say which extra to install where it is missing
except ImportError as error:
    raise ImportError("advcore.reference needs PyTorch: pip install 'advcore[torch]'") from error

from advcore.reference.activations import (
    gelu,
    gelu_grad,
    log_softmax,
    log_softmax_grad,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_grad,
    tanh,
    tanh_grad,
)
from advcore.reference.batch_norm_lstm import batch_norm_lstm, batch_norm_lstm_grad
from advcore.reference.conv2d import PackedConv2d, conv2d, conv2d_input_grad, conv2d_weight_grad
from advcore.reference.coordinate_gradient import coordinate_gradient
from advcore.reference.linear import linear, linear_input_grad, linear_weight_grad, matmul
from advcore.reference.neighbors import knn, lid, two_nn
from advcore.reference.normalization import (
    batch_norm,
    batch_norm_grad,
    group_norm,
    group_norm_grad,
    instance_norm,
    instance_norm_grad,
    layer_norm,
    layer_norm_grad,
)
from advcore.reference.pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_grad,
    avg_pool2d,
    avg_pool2d_grad,
    max_pool2d,
    max_pool2d_grad,
)
from advcore.reference.recurrent import (
    gru,
    gru_cell,
    gru_grad,
    lstm,
    lstm_cell,
    lstm_grad,
    rnn_tanh,
    rnn_tanh_cell,
    rnn_tanh_grad,
)

__all__ = [
    "PackedConv2d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_grad",
    "avg_pool2d",
    "avg_pool2d_grad",
    "batch_norm",
    "batch_norm_grad",
    "batch_norm_lstm",
    "batch_norm_lstm_grad",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "coordinate_gradient",
    "gelu",
    "gelu_grad",
    "group_norm",
    "group_norm_grad",
    "gru",
    "gru_cell",
    "gru_grad",
    "instance_norm",
    "instance_norm_grad",
    "knn",
    "layer_norm",
    "layer_norm_grad",
    "lid",
    "linear",
    "linear_input_grad",
    "linear_weight_grad",
    "log_softmax",
    "log_softmax_grad",
    "lstm",
    "lstm_cell",
    "lstm_grad",
    "matmul",
    "max_pool2d",
    "max_pool2d_grad",
    "relu",
    "relu_grad",
    "rnn_tanh",
    "rnn_tanh_cell",
    "rnn_tanh_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_grad",
    "tanh",
    "tanh_grad",
    "two_nn",
]
