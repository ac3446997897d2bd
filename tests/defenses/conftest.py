"""Digits and networks that several defences are compared with, trained once."""

import pytest

from advcore import data, models, nn


@pytest.fixture(scope="session")
def digits():
    return data.digits()


@pytest.fixture(scope="session")
def plain(digits):
    network = models.wong_mnist((1, 8, 8), seed=0)
    nn.fit(network, digits.x_train, digits.y_train, epochs=15, optimizer=nn.Adam(5e-3), schedule="cosine")
    return network
