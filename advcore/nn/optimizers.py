"""Optimisers: PyTorch's updates, with its defaults except where a name has none, a pass of a kernel each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from advcore import _check, _core
from advcore._check import Array

State = dict[str, int | Array]


class Optimizer:
    """Changes parameters in place, given their gradients; its state belongs to the parameters' names.

    A subclass gives ``update`` and the names of the arrays that it keeps for every parameter. Every argument of its
    constructor is an attribute of the same name.
    """

    def __init__(self, *kept: str) -> None:
        self._steps = 0
        self._kept: dict[str, dict[str, Array]] = {kind: {} for kind in kept}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array], factor: float = 1.0) -> None:
        """Make one update of every parameter.

        Parameters
        ----------
        parameters : dict of str to float32 or float64 array
            Changed in place.
        gradients : dict of str to array
            Of the parameters' names, shapes and types.
        factor : float
            Of the learning rate, for this update; at least 0.

        Raises
        ------
        TypeError
            If an array is of another type.
        ValueError
            If a gradient is missing or of another shape, or a parameter is not contiguous and writeable.
        """
        work = []
        for name, p in parameters.items():
            _check.in_place(f"parameters[{name!r}]", p)
            if name not in gradients:
                raise ValueError(f"gradients must have the parameters' names, got no {name!r}")
            g = _check.array(f"gradients[{name!r}]", gradients[name], dtype=p.dtype, shape=p.shape)
            work.append((p, g, [self._array(arrays, name, p) for arrays in self._kept.values()]))
        self._steps += 1
        for p, g, kept in work:
            self.update(p, g, kept, factor)

    @staticmethod
    def _array(arrays: dict[str, Array], name: str, like: Array) -> Array:
        if name not in arrays:
            arrays[name] = np.zeros_like(like)
        return _check.array(f"the optimizer's state of {name!r}", arrays[name], dtype=like.dtype, shape=like.shape)

    def update(self, p: Array, g: Array, kept: list[Array], factor: float) -> None:
        """Change one parameter in place; ``kept`` are its arrays, zeros at first."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def state_dict(self) -> State:
        """Return copies of the state: "steps", the number of updates, and arrays named "kind.parameter"."""
        arrays = {f"{kind}.{name}": a.copy() for kind, kept in self._kept.items() for name, a in kept.items()}
        return {"steps": self._steps, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what state_dict of an optimiser of the same class gave: it goes on with the same bits.

        Raises
        ------
        TypeError
            If a value is of another type.
        ValueError
            If "steps" is missing or negative, or a name is unknown. Nothing has been changed then.
        """
        if "steps" not in state:
            raise ValueError("state must have 'steps'")
        steps = _check.integer("state['steps']", state["steps"], minimum=0)
        taken: dict[str, dict[str, Array]] = {kind: {} for kind in self._kept}
        for key, value in state.items():
            kind, _, name = key.partition(".")
            if kind in taken:
                taken[kind][name] = _check.array(f"state[{key!r}]", value).copy()
            elif key != "steps":
                raise ValueError(f"state must have 'steps' and arrays of {list(taken)}, got {key!r}")
        self._steps, self._kept = steps, taken


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
        super().__init__(*(["velocity"] if momentum else []))

    def update(self, p: Array, g: Array, kept: list[Array], factor: float) -> None:
        """See Optimizer.update."""
        velocity = kept[0] if kept else None
        _core.sgd_update(p, g, velocity, factor * self.lr, self.momentum, self.nesterov, self.weight_decay)


class RMSProp(Optimizer):
    """RMSProp: ``s = alpha s + (1 - alpha) g^2, v = momentum v + g / (sqrt(s) + eps), p = p - lr v``, as torch.

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
        super().__init__("square", *(["velocity"] if momentum else []))

    def update(self, p: Array, g: Array, kept: list[Array], factor: float) -> None:
        """See Optimizer.update."""
        square, velocity = kept[0], kept[1] if len(kept) > 1 else None
        options = (self.momentum, self.alpha, self.eps, self.weight_decay)
        _core.rmsprop_update(p, g, velocity, square, factor * self.lr, *options)


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
        super().__init__("mean", "square")

    def update(self, p: Array, g: Array, kept: list[Array], factor: float) -> None:
        """See Optimizer.update."""
        beta1, beta2 = self.betas
        rate = factor * self.lr / (1 - beta1**self._steps)
        correction = math.sqrt(1 - beta2**self._steps)
        mean, square = kept
        _core.adam_update(p, g, mean, square, rate, beta1, beta2, self.eps, correction, self.weight_decay)


def clip_gradients(gradients: Mapping[str, Array], norm: float) -> float:
    """Scale all gradients in place so that their common L2 norm is at most ``norm``; return what it was.

    The factor is ``norm / (total + 1e-6)`` where that is below 1, as in torch.nn.utils.clip_grad_norm_.
    """
    total = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients.values()))
    factor = norm / (total + 1e-6)
    if factor < 1:
        for g in gradients.values():
            g *= factor
    return total
