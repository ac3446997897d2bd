"""The functional API: torch.nn.functional's names, argument order and meaning, on NumPy arrays.

Arrays are float32 or float64, of one type a call; results have the inputs' type. Any strides are taken. What
gives arrays takes ``out=``, an array of the result's shape and type that receives the result. Results are the same bits
for any number of threads, and a sample's result does not depend on the rest of the batch.
"""

from advcore.ops.activations import (
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
from advcore.ops.batch_norm import batch_norm, batch_norm_grad
from advcore.ops.batch_norm_lstm import BatchNormLstmTape, batch_norm_lstm, batch_norm_lstm_grad
from advcore.ops.conv2d import PackedConv2d, conv2d, conv2d_input_grad, conv2d_weight_grad
from advcore.ops.conv2d_workspace import Conv2dWorkspace, conv2d_workspace
from advcore.ops.coordinate_gradient import coordinate_gradient
from advcore.ops.group_norm import group_norm, group_norm_grad
from advcore.ops.instance_norm import instance_norm, instance_norm_grad
from advcore.ops.knn_index import KnnIndex
from advcore.ops.layer_norm import layer_norm, layer_norm_grad
from advcore.ops.linear import linear, linear_input_grad, linear_weight_grad, matmul
from advcore.ops.neighbors import knn, lid, two_nn
from advcore.ops.pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_grad,
    avg_pool2d,
    avg_pool2d_grad,
    max_pool2d,
    max_pool2d_grad,
    pool_coverage,
)
from advcore.ops.recurrent import RecurrentTape, gru, lstm, rnn_tanh
from advcore.ops.recurrent_cells import gru_cell, lstm_cell, rnn_tanh_cell
from advcore.ops.recurrent_grad import gru_grad, lstm_grad, rnn_tanh_grad

__all__ = [
    "BatchNormLstmTape",
    "Conv2dWorkspace",
    "KnnIndex",
    "PackedConv2d",
    "RecurrentTape",
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
    "conv2d_workspace",
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
    "pool_coverage",
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
