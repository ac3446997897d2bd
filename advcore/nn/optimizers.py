"""Optimisers: PyTorch's updates, with its defaults except where a name has none."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from advcore import _check
from advcore._check import Array


class Optimizer:
    """Changes parameters in place, given their gradients; its state belongs to the parameters' names."""

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array], factor: float = 1.0) -> None:
        """Make one update of every parameter.

        Parameters
        ----------
        parameters : dict of str to float32 or float64 array
            Changed in place.
        gradients : dict of str to array
            Of the parameters' names and shapes.
        factor : float
            Of the learning rate, for this update; at least 0.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step")


class SGD(Optimizer):
    """Stochastic gradient descent: ``v = momentum v + g, p = p - lr v`` (Nesterov: ``p - lr (g + momentum v)``).

    Parameters
    ----------
    lr : float
        Learning rate, positive.
    momentum : float
        In [0, 1].
    weight_decay : float
        At least 0; ``weight_decay * p`` is added to the gradient.
    nesterov : bool
        Needs momentum.
    """

    def __init__(
        self, lr: float = 1e-3, *, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
    ) -> None:
        self.lr = _check.real("lr", lr, above=0.0)
        self.momentum = _check.real("momentum", momentum, minimum=0.0, maximum=1.0)
        self.weight_decay = _check.real("weight_decay", weight_decay, minimum=0.0)
        self.nesterov = _check.flag("nesterov", nesterov)
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum greater than 0, got 0")
        self._velocities: dict[str, Array] = {}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array], factor: float = 1.0) -> None:
        """See Optimizer.step."""
        for name, p in parameters.items():
            g = gradients[name]
            if self.weight_decay:
                g = g + self.weight_decay * p
            if self.momentum:
                if name in self._velocities:
                    v = self._velocities[name]
                    v *= self.momentum
                    v += g
                else:
                    v = self._velocities[name] = g.copy()
                g = g + self.momentum * v if self.nesterov else v
            p -= factor * self.lr * g


class RMSProp(Optimizer):
    """RMSProp: ``v = alpha v + (1 - alpha) g^2, b = momentum b + g / (sqrt(v) + eps), p = p - lr b``, as torch.

    Parameters
    ----------
    lr : float
        Learning rate, positive.
    alpha : float
        Decay of the mean square, in [0, 1).
    eps : float
        Added to the denominator, positive.
    momentum : float
        In [0, 1].
    weight_decay : float
        At least 0; ``weight_decay * p`` is added to the gradient.

    References
    ----------
    Tieleman, Hinton: Lecture 6.5, RMSProp. Neural networks for machine learning, 2012.
    """

    def __init__(
        self,
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        self.lr = _check.real("lr", lr, above=0.0)
        self.alpha = _check.real("alpha", alpha, minimum=0.0, below=1.0)
        self.eps = _check.real("eps", eps, above=0.0)
        self.momentum = _check.real("momentum", momentum, minimum=0.0, maximum=1.0)
        self.weight_decay = _check.real("weight_decay", weight_decay, minimum=0.0)
        self._squares: dict[str, Array] = {}
        self._velocities: dict[str, Array] = {}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array], factor: float = 1.0) -> None:
        """See Optimizer.step."""
        for name, p in parameters.items():
            g = gradients[name]
            if self.weight_decay:
                g = g + self.weight_decay * p
            square = self._squares.setdefault(name, np.zeros_like(p))
            square *= self.alpha
            square += g * g * (1 - self.alpha)
            update = g / (np.sqrt(square) + self.eps)
            if self.momentum:
                velocity = self._velocities.setdefault(name, np.zeros_like(p))
                velocity *= self.momentum
                velocity += update
                update = velocity
            p -= factor * self.lr * update


class Adam(Optimizer):
    """Adam: ``p = p - lr m' / (sqrt(v') + eps)``, m' and v' the bias-corrected means of the gradient and its square.

    Parameters
    ----------
    lr : float
        Learning rate, positive.
    betas : pair of float
        Decays of the two means, each in [0, 1).
    eps : float
        Added to the denominator, positive.
    weight_decay : float
        At least 0; ``weight_decay * p`` is added to the gradient.

    References
    ----------
    Kingma, Ba: Adam: a method for stochastic optimization. ICLR 2015, algorithm 1.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.lr = _check.real("lr", lr, above=0.0)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"betas must be a pair of numbers, got {betas!r}")
        self.betas = tuple(_check.real(f"betas[{i}]", beta, minimum=0.0, below=1.0) for i, beta in enumerate(betas))
        self.eps = _check.real("eps", eps, above=0.0)
        self.weight_decay = _check.real("weight_decay", weight_decay, minimum=0.0)
        self._steps = 0
        self._means: dict[str, tuple[Array, Array]] = {}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array], factor: float = 1.0) -> None:
        """See Optimizer.step."""
        self._steps += 1
        beta1, beta2 = self.betas
        rate = factor * self.lr / (1 - beta1**self._steps)
        root_of_correction = math.sqrt(1 - beta2**self._steps)
        for name, p in parameters.items():
            g = gradients[name]
            if self.weight_decay:
                g = g + self.weight_decay * p
            if name not in self._means:
                self._means[name] = (np.zeros_like(p), np.zeros_like(p))
            mean, square = self._means[name]
            mean += (g - mean) * (1 - beta1)
            square *= beta2
            square += g * g * (1 - beta2)
            p -= rate * mean / (np.sqrt(square) / root_of_correction + self.eps)


def clip_gradients(gradients: Mapping[str, Array], norm: float) -> float:
    """Scale all gradients in place so that their common L2 norm is at most ``norm``; return what it was."""
    total = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients.values()))
    if total > norm:
        for g in gradients.values():
            g *= norm / total
    return total
