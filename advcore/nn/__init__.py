"""Networks: layers with torch's names and defaults, losses, optimisers and training on advcore's kernels."""

from advcore.nn._coordinates import ProbeValues, coordinate_costs
from advcore.nn._propagation import LayerCost
from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.affine import Affine, Normalize, Scale
from advcore.nn.batch import Batch
from advcore.nn.batch_norm_lstm import BatchNormLSTM
from advcore.nn.conv import Conv2d
from advcore.nn.distance import NegativeDistance
from advcore.nn.dropout import Dropout
from advcore.nn.history import Epoch, History
from advcore.nn.imported import Import
from advcore.nn.layer import Layer
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Concatenate, Multiply, Subtract
from advcore.nn.metrics import hierarchical_accuracy
from advcore.nn.network import Network, Sequential
from advcore.nn.noise import GaussianNoise
from advcore.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from advcore.nn.optimizers import SGD, Adam, Optimizer, RMSProp
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.rbf import laplacian_rbf_network
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.reshape import Flatten, Mean, Pad, Permute, Reshape, RowsAsSteps
from advcore.nn.slicing import Slice
from advcore.nn.training import accuracy, fit

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "AdaptiveAvgPool2d",
    "Add",
    "Affine",
    "AvgPool2d",
    "Batch",
    "BatchNorm",
    "BatchNormLSTM",
    "Clip",
    "Concatenate",
    "Conv2d",
    "Dropout",
    "Epoch",
    "Flatten",
    "GaussianNoise",
    "GroupNorm",
    "History",
    "Import",
    "InstanceNorm",
    "Layer",
    "LayerCost",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MaxPool2d",
    "Mean",
    "Multiply",
    "NegativeDistance",
    "Network",
    "Normalize",
    "Optimizer",
    "Pad",
    "Permute",
    "ProbeValues",
    "RMSProp",
    "ReLU",
    "Reshape",
    "RowsAsSteps",
    "Scale",
    "Sequential",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Subtract",
    "Tanh",
    "accuracy",
    "coordinate_costs",
    "fit",
    "hierarchical_accuracy",
    "laplacian_rbf_network",
]
