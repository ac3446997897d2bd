"""Architectures, seeded and untrained."""

from advcore.models.carlini import carlini_mnist
from advcore.models.lenet import lenet
from advcore.models.mlp import mlp
from advcore.models.recurrent import gru_classifier, lstm_classifier
from advcore.models.small_cnn import small_cnn

__all__ = ["carlini_mnist", "gru_classifier", "lenet", "lstm_classifier", "mlp", "small_cnn"]
