"""Architectures, seeded and untrained."""

from advcore.models.alexnet import alexnet
from advcore.models.carlini import carlini_cifar, carlini_mnist
from advcore.models.lenet import lenet
from advcore.models.mlp import mlp
from advcore.models.rbf import rbf_network
from advcore.models.recurrent import gru_classifier, lstm_classifier
from advcore.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from advcore.models.small_cnn import small_cnn
from advcore.models.vgg import vgg16
from advcore.models.wong import wong_mnist

__all__ = [
    "alexnet",
    "carlini_cifar",
    "carlini_mnist",
    "gru_classifier",
    "lenet",
    "lstm_classifier",
    "mlp",
    "rbf_network",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "small_cnn",
    "vgg16",
    "wong_mnist",
]
