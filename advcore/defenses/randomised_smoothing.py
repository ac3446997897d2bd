"""Randomised smoothing (Cohen, Rosenfeld, Kolter 2019, arXiv 1902.02918): certified L2 robustness by noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks.model import top_class
from advcore.defenses._behind import Behind

ABSTAIN = -1
LARGEST_DRAW = 2**30
SELECT, CERTIFY = 0, 1  # noise that is never shared


class Certificates(NamedTuple):
    """What smoothing guarantees of each sample, with probability at least 1 - alpha each.

    Attributes
    ----------
    prediction : int64 array, (N,)
        The class of the smoothed classifier, or -1 where it abstains: no class is sure enough, or most draws are
        rejected by a model that rejects.
    radius : float64 array, (N,)
        In L2, in the units of x: within it the smoothed classifier keeps its class. 0 where it abstains.
    lower : float64 array, (N,)
        Lower confidence bound of the probability that the base classifier gives the class under noise.
    """

    prediction: NDArray[np.int64]
    radius: NDArray[np.float64]
    lower: NDArray[np.float64]

    def accuracy(self, y: object, radii: object = 0.0) -> NDArray[np.float64]:
        """Return the certified accuracy at each radius, (R,): the share of samples that are right, and certified there.

        Parameters
        ----------
        y : int array, (N,)
            True labels; N >= 1.
        radii : float or sequence of float, at least 0
        """
        if len(self.prediction) == 0:
            raise ValueError("accuracy must be asked of at least 1 sample, got certificates of 0")
        labels = _check.integers("y", y, shape=(len(self.prediction),), minimum=0, maximum=2**31 - 1)
        reached = np.where(self.prediction == labels, self.radius, -1.0)
        asked = np.array(_check.reals("radii", radii, minimum=0.0))
        shares: NDArray[np.float64] = (reached >= asked[:, np.newaxis]).mean(axis=1)
        return shares


class RandomisedSmoothing:
    """The classifier ``g(x) = argmax_c P(f(x + sigma n) = c)`` of a base classifier f, n standard normal (eq. 1).

    Parameters
    ----------
    model : object with logits(x), or torch module
        f, best trained with ``noise_training`` of the same sigma. It is given noisy inputs, outside of [0, 1] too.
    sigma : float, above 0
        In the units of x.
    seed : int
        Of the noise.
    batch_size : int, at least 1
        Most inputs that f is given at once; it changes no result of one that treats samples by themselves.

    Attributes
    ----------
    randomised : bool
        True: ``logits`` and gradients are those of one fresh noise a call, for attacks (``attacks.expectation``).
    rejects : bool
        As f's: whether the last logit means "rejected", which is never certified.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range.
    """

    randomised = True

    def __init__(self, model: Any, *, sigma: float, seed: int = 0, batch_size: int = 1024) -> None:
        self._model = Behind(model)
        self.rejects = self._model.rejects
        self.sigma = _check.real("sigma", sigma, above=0.0)
        self.seed = _check.integer("seed", seed, minimum=0, maximum=2**63 - 1)
        self.batch_size = _check.integer("batch_size", batch_size, minimum=1)
        self._calls = 0

    def certify(
        self, x: Array, *, n0: int = 100, n: int = 10_000, alpha: float = 0.001, sample_ids: object = None
    ) -> Certificates:
        """Certify each sample: n0 draws choose the class, n fresh ones bound its probability (section 3.2.2).

        ``R = sigma Phi^-1(p)``, p the one-sided Clopper-Pearson lower bound at confidence 1 - alpha; p <= 1/2 abstains.

        Parameters
        ----------
        x : float32 or float64 array, (N, ...)
        n0, n : int, in [1, 2**30]
        alpha : float, in (0, 1)
            Probability that a certificate is wrong.
        sample_ids : int array, (N,), default 0 to N - 1
            The noise depends on the seed and the id.

        Returns
        -------
        Certificates

        Raises
        ------
        TypeError, ValueError
            If an argument is of another type or out of range, or x or what the model makes of it is not finite.
        """
        from scipy.special import betaincinv, ndtri

        x = _check.array("x", x, min_ndim=2)
        _check.finite("x", x)
        draws = [_check.integer(*d, minimum=1, maximum=LARGEST_DRAW) for d in (("n0", n0), ("n", n))]
        alpha = _check.real("alpha", alpha, above=0.0, below=1.0)
        ids = _ids(sample_ids, len(x))
        prediction = np.full(len(x), ABSTAIN, np.int64)
        radius, lower = np.zeros(len(x)), np.zeros(len(x))
        for row, sample in enumerate(x):
            votes = self._counts(sample, row, int(ids[row]), draws[0], SELECT)
            chosen = int(top_class(votes[np.newaxis], self.rejects)[0])
            if chosen == ABSTAIN:  # rejected
                continue
            hits = int(self._counts(sample, row, int(ids[row]), draws[1], CERTIFY)[chosen])
            lower[row] = betaincinv(hits, draws[1] - hits + 1, alpha) if hits else 0.0
            if lower[row] > 0.5:
                prediction[row], radius[row] = chosen, self.sigma * ndtri(lower[row])
        return Certificates(prediction, radius, lower)

    def predict(self, x: Array, *, n: int = 100, alpha: float = 0.001, sample_ids: object = None) -> NDArray[np.int64]:
        """Return the smoothed classifier's class, (N,), or -1 where n draws do not tell the two first apart at alpha,
        or most are rejected.

        Parameters as certify's (section 3.2.1: a two-sided binomial test).
        """
        from scipy.special import betainc

        x = _check.array("x", x, min_ndim=2)
        _check.finite("x", x)
        count = _check.integer("n", n, minimum=1, maximum=LARGEST_DRAW)
        alpha = _check.real("alpha", alpha, above=0.0, below=1.0)
        ids = _ids(sample_ids, len(x))
        prediction = np.full(len(x), ABSTAIN, np.int64)
        for row, sample in enumerate(x):
            votes = self._counts(sample, row, int(ids[row]), count, SELECT)
            second, first = np.sort(votes)[-2:]
            # Twice the probability of at least `first` heads of a fair coin.
            chance = 2 * betainc(first, second + 1, 0.5) if first > second else 1.0
            if chance <= alpha:
                prediction[row] = top_class(votes[np.newaxis], self.rejects)[0]
        return prediction

    def logits(self, x: Array) -> Any:
        """Return the base classifier's logits under one fresh noise, (N, K)."""
        return self._model.logits(self._noisy(x))

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Any, Any]:
        """Return logits and the gradient for x of ``sum(logits * cotangent(logits))`` under one fresh noise."""
        return self._model.value_and_vjp(self._noisy(x), cotangent)

    def vjp(self, x: Array, cotangent: Array) -> Any:
        """Return the gradient for x of ``sum(logits * cotangent)`` under one fresh noise."""
        return self.value_and_vjp(x, lambda logits: cotangent)[1]

    def _noisy(self, x: Array) -> Array:
        x = _check.array("x", x, min_ndim=2)
        self._calls += 1
        size = int(np.prod(x.shape[1:]))
        noise = _random.normal(self.seed, np.arange(len(x)), self._calls, size, std=self.sigma, dtype=x.dtype)
        noisy: Array = x + noise.reshape(x.shape)
        return noisy

    def _counts(self, sample: Array, row: int, sample_id: int, draws: int, purpose: int) -> NDArray[np.int64]:
        """Return how often the base classifier gives each class under noise, (K,); the sample's row is for messages."""
        # NumPy's generator, one a sample: millions of numbers are drawn in order, for which ours is slower.
        rng = np.random.default_rng((self.seed, sample_id, purpose))
        sigma = sample.dtype.type(self.sigma)
        counts: NDArray[np.int64] | None = None
        for first in range(0, draws, self.batch_size):
            noisy = rng.standard_normal((min(self.batch_size, draws - first), *sample.shape), sample.dtype.type)
            noisy *= sigma
            noisy += sample
            logits = _check.returned("what the model returns", self._model.logits(noisy))
            if logits.ndim != 2 or len(logits) != len(noisy) or logits.shape[1] < 2:
                raise ValueError(f"the model must return logits ({len(noisy)}, at least 2 classes), got {logits.shape}")
            _check.finite("what the model returns", logits.astype(np.float64), row)
            votes = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
            counts = votes if counts is None else counts + votes
        assert counts is not None  # draws is at least 1
        return counts


def _ids(sample_ids: object, count: int) -> NDArray[np.int64]:
    ids = np.arange(count) if sample_ids is None else sample_ids
    return _check.integers("sample_ids", ids, shape=(count,), minimum=0, maximum=2**48 - 1)
