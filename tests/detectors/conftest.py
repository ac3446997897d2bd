"""A small network in float64, images and labels, and a detector of every kind."""

import numpy as np
import pytest

from advcore import defenses, detectors, nn

SHAPE = (1, 8, 8)


def small_network(seed=0, dtype=np.float64):
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 12), nn.ReLU()),
        *(nn.Dropout(0.3), nn.Linear(12, 7), nn.ReLU(), nn.Dropout(0.2), nn.Linear(7, 4)),
        seed=seed,
        dtype=dtype,
    )


KINDS = {
    "LID": lambda n, x, y: detectors.LID(n, x, k=6),
    "LID of some layers": lambda n, x, y: detectors.LID(n, x, k=6, layers=["input", "2", "2", "10"]),
    "LID as published": lambda n, x, y: detectors.LID(n, x, k=6, published=True),
    "KernelDensity": lambda n, x, y: detectors.KernelDensity(n, x, y, bandwidth=0.7),
    "KernelDensity of maps": lambda n, x, y: detectors.KernelDensity(n, x, y, bandwidth=0.7, layer="2"),
    "BayesianUncertainty": lambda n, x, y: detectors.BayesianUncertainty(n, passes=9),
    "FeatureSqueezing": lambda n, x, y: detectors.FeatureSqueezing(n),
    "FeatureSqueezing of three": lambda n, x, y: detectors.FeatureSqueezing(
        n, [defenses.BitDepth(5), defenses.MedianFilter(3), defenses.NonLocalMeans(5, 3, 0.1)]
    ),
    "Mahalanobis": lambda n, x, y: detectors.Mahalanobis(n, x, y),
    "Mahalanobis of one layer": lambda n, x, y: detectors.Mahalanobis(n, x, y, layers=["7"]),
    "MaxSoftmax": lambda n, x, y: detectors.MaxSoftmax(n),
    "RBFRejection": lambda n, x, y: detectors.RBFRejection(n, fpr=0.2),
    "RBFRejection of distances": lambda n, x, y: detectors.RBFRejection(n, lambda_=0.3, output="distances"),
    "Combination": lambda n, x, y: detectors.Combination(
        [
            detectors.LID(n, x, k=5, layers=["input", "7"]),
            detectors.KernelDensity(n, x, y),
            detectors.BayesianUncertainty(n, passes=4),
            detectors.MaxSoftmax(n),
        ]
    ),
}


class Setting:
    """A network, reference images and labels, and queries of which the second half is called adversarial."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.network = small_network()
        self.reference = rng.random((60, *SHAPE))
        self.labels = np.arange(60) % 4
        self.x = rng.random((40, *SHAPE))
        self.y = np.repeat([0, 1], 20)
        self.others = rng.random((40, *SHAPE))
        self.own = np.arange(40)

    def make(self, kind, network=None):
        return KINDS[kind](network or self.network, self.reference, self.labels)

    def options(self, kind, rows=slice(None)):
        return {"exclude": self.own[rows]} if kind in ("LID as published",) else {}

    def fitted(self, kind, network=None):
        return self.make(kind, network).fit(self.x, self.y, **self.options(kind))


@pytest.fixture(scope="session")
def setting():
    return Setting()


def pytest_generate_tests(metafunc):
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS)
