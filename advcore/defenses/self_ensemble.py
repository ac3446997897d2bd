"""Random self-ensemble (Liu, Cheng, Zhang, Hsieh 2018, arXiv 1712.00673)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random, nn, ops
from advcore._check import Array
from advcore.nn.layer import Shape

PIECE = 256  # samples that go through the layers together


class Vote(NamedTuple):
    """What n noisy passes say of each sample.

    Attributes
    ----------
    prediction : int64 array, (N,)
        The class of the largest mean softmax.
    probabilities : float64 array, (N, K)
        The mean softmax.
    confidence : float64 array, (N,)
        The mean softmax of the predicted class.
    agreement : float64 array, (N,)
        The share of the passes whose own largest logit is the predicted class.
    """

    prediction: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    confidence: NDArray[np.float64]
    agreement: NDArray[np.float64]


class SelfEnsemble:
    """A network with normal noise before every convolution, in training and in testing; n noisy passes vote.

    Train ``network`` by nn.fit: it draws one noise a step. ``predict`` and ``vote`` repeat themselves: their noise
    depends on the seed, the pass and the sample. ``logits`` and the gradients draw fresh noise at each call, as an
    attacker would meet it: the n-th call of one instance has the noise of the n-th call of another with the same seed.

    Parameters
    ----------
    network : Network
        With convolutions; its layers are shared. One that is an ensemble's already, such as ``Network.load`` gives it,
        keeps its layers of noise, which must be of the same standard deviations.
    sigma_first, sigma : float, at least 0
        Standard deviation before the first convolution and before the others, in the units of what goes in.
    passes : int, at least 1
        n.
    seed : int
        Of the noise in testing.

    Attributes
    ----------
    network : Network
        With layers of noise, to be trained. In its own evaluation mode it is quiet.
    randomised : bool
        True: asking twice gives two answers, and gradients must be averaged (``attacks.expectation``).

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range, or the network has no convolution or other noise.

    Notes
    -----
    A single noise a step makes an attack look weaker than it is: the published evaluation did so.
    """

    randomised = True

    def __init__(
        self,
        network: nn.Network,
        *,
        sigma_first: float = 0.2,
        sigma: float = 0.1,
        passes: int = 10,
        seed: int = 0,
    ) -> None:
        network = _check.instance("network", network, nn.Network)
        sigmas = (
            _check.real("sigma_first", sigma_first, minimum=0.0),
            _check.real("sigma", sigma, minimum=0.0),
        )
        self.passes = _check.integer("passes", passes, minimum=1)
        self.seed = _check.integer("seed", seed, minimum=0, maximum=2**63 - 1)
        if not any(isinstance(layer, nn.Conv2d) for layer in network.layers.values()):
            raise ValueError("network must have a Conv2d layer to put noise before")
        self._draw = _Draw(self.seed)
        self._calls = 0
        self.network = _noisy(network, [nn.GaussianNoise(sigma) for sigma in sigmas])
        self._testing = _noisy(network, [_Noise(sigma, self._draw) for sigma in sigmas])

    @property
    def dtype(self) -> np.dtype[np.float32] | np.dtype[np.float64]:
        """Of inputs and results."""
        return self.network.dtype

    def logits(self, x: Array) -> Array:
        """Return the logits of one noisy pass, (N, K); other noise in every call."""
        x = self._input(x)
        self._calls += 1
        return self._pass(x, np.arange(len(x)), self._calls, 0)

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return the logits of one noisy pass and the gradient for x of ``sum(logits * cotangent(logits))``.

        Arguments as Network.value_and_vjp; the cotangent is asked once for the whole batch.
        """
        x = self._input(x)
        self._calls += 1
        logits, ids = [], np.arange(len(x))
        kept = []
        for part in _pieces(len(x)):
            self._draw.start(ids[part], self._calls, 0)
            values, saved = self._testing.forward(x[part])
            logits.append(values)
            kept.append(saved)
        values = np.concatenate(logits)
        weights = _check.array("cotangent(logits)", cotangent(values.copy()), dtype=values.dtype, shape=values.shape)
        gradient = np.empty_like(x)
        for part, saved in zip(_pieces(len(x)), kept, strict=True):
            gradient[part] = self._testing.backward(saved, weights[part])[0]
        return values, gradient

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return the gradient for x of ``sum(logits * cotangent)`` of one noisy pass."""
        return self.value_and_vjp(x, lambda logits: cotangent)[1]

    def vote(self, x: Array, *, passes: int | None = None, sample_ids: object = None) -> Vote:
        """Let noisy passes vote.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        passes : int, at least 1, optional
            Other than the ensemble's own.
        sample_ids : int array, (N,), default 0 to N - 1
            The noise depends on the seed, the pass and the id.

        Returns
        -------
        Vote

        Raises
        ------
        TypeError, ValueError
            If an argument is of another type or out of range, or a pass gives a sample NaN or infinite logits.
        """
        x = self._input(x)
        count = self.passes if passes is None else _check.integer("passes", passes, minimum=1)
        ids = np.arange(len(x)) if sample_ids is None else sample_ids
        ids = _check.integers("sample_ids", ids, shape=(len(x),), minimum=0, maximum=2**48 - 1)
        first: NDArray[np.int64] = np.empty((count, len(x)), np.int64)
        total: NDArray[np.float64] = np.zeros((len(x), *self.network.output_shape(x.shape[1:])))
        for number in range(count):
            logits = self._pass(x, ids, number, 1)
            _check.finite("the network's logits", logits)
            first[number] = logits.argmax(axis=1)
            total += ops.softmax(logits)
        total /= count
        prediction = np.asarray(total.argmax(axis=1), np.int64)
        confidence = total[np.arange(len(x)), prediction]
        return Vote(prediction, total, confidence, (first == prediction).mean(axis=0))

    def predict(self, x: Array, *, passes: int | None = None, sample_ids: object = None) -> NDArray[np.int64]:
        """Return the class that the noisy passes vote for, (N,); arguments as vote's."""
        return self.vote(x, passes=passes, sample_ids=sample_ids).prediction

    def _input(self, x: object) -> Array:
        return _check.array("x", x, dtype=self.network.dtype, min_ndim=2)

    def _pass(self, x: Array, ids: NDArray[np.int64], number: int, purpose: int) -> Array:
        result = np.empty((len(x), *self.network.output_shape(x.shape[1:])), x.dtype)
        for part in _pieces(len(x)):
            self._draw.start(ids[part], number, purpose)
            result[part] = self._testing.forward(x[part])[0]
        return result


class _Draw:
    """Which noise is drawn now: for which samples, in which pass, for an attacker (0) or for a vote (1)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self.number = self.purpose = self.layer = 0

    def start(self, ids: NDArray[np.int64], number: int, purpose: int) -> None:
        """Begin a pass."""
        self.ids, self.number, self.purpose, self.layer = ids, number, purpose, 0

    def noise(self, shape: Shape, sigma: float, dtype: np.dtype[np.float32] | np.dtype[np.float64]) -> Array:
        """Draw for the next layer of the pass."""
        size, stream = int(np.prod(shape[1:])), 2 * self.layer + self.purpose
        self.layer += 1
        return _random.normal(self.seed, self.ids, self.number, size, std=sigma, dtype=dtype, stream=stream).reshape(
            shape
        )


class _Noise(nn.Layer):
    """Noise in testing, drawn by counter."""

    def __init__(self, sigma: float, draw: _Draw) -> None:
        super().__init__()
        self.sigma, self.draw = sigma, draw

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return x + self.draw.noise(x.shape, self.sigma, x.dtype)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return grad, {}

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size."""
        return 0


def _noisy(network: nn.Network, noises: Sequence[nn.GaussianNoise | _Noise]) -> nn.Network:
    """Return the network with a layer of noise before every convolution: the first of two before the first one."""
    layers: dict[str, nn.Layer] = {}
    wiring = {name: list(inputs) for name, inputs in network.wiring.items()}
    first, later = noises
    noise = first
    for name, layer in network.layers.items():
        if isinstance(layer, nn.Conv2d):
            before = f"{name}_noise"
            kept = network.layers.get(before)
            if kept is None:
                wiring[before], wiring[name] = wiring[name], [before]
            elif wiring[name] != [before] or not isinstance(kept, nn.GaussianNoise) or kept.sigma != noise.sigma:
                raise ValueError(
                    f"network must have no layer {before!r}, or GaussianNoise({noise.sigma}) in front of {name!r} as "
                    f"sigma_first and sigma say, got {kept!r}"
                )
            layers[before] = noise
            noise = later
        layers[name] = layer
    return nn.Network(layers, wiring=wiring, dtype=network.dtype)


def _pieces(samples: int) -> Iterator[slice]:
    return (slice(begin, begin + PIECE) for begin in range(0, max(samples, 1), PIECE))
