"""Expectation over transformation (Athalye, Engstrom, Ilyas, Kwok 2018, arXiv 1707.07397) for randomised models."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._access import Access, Cotangents
from advcore.attacks.model import wrap


def expectation(model: Any, *, draws: int = 20, output: str | None = None) -> Access:
    """Return a model whose answers are averages over a randomised model: ``grad = 1/m sum_j grad loss(f(x; r_j))``.

    Any attack takes it in place of the model. The logits are those of the mean softmax. Success is decided by passes of
    the randomised model that the attack has not seen. ``AttackResult.gradient_error`` says how certain the averages
    were: ``sqrt(sum_i s_i^2 / m) / ||mean||_2``, s_i the standard deviation of entry i over the draws, averaged over
    the iterates of a sample.

    Parameters
    ----------
    model : as for attacks
        Answers differently each time: fresh randomness is its own business.
    draws : int, at least 2
        m. Every evaluation of the result costs so many of the model.
    output : str, optional
        What a plain callable returns, as in Options.

    Returns
    -------
    object that attacks take as a model

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong.
    """
    return Expectation(wrap(model, output), _check.integer("draws", draws, minimum=2))


class Expectation(Access):
    """Averages of a randomised model."""

    def __init__(self, base: Access, draws: int) -> None:
        self.base, self.draws = base, draws
        self.gradients = base.gradients
        self.queries = draws * base.queries
        self.judge, self.rejects = copy.copy(base.judge), base.rejects  # a copy: what is found out here stays here
        # A model that may be random is treated as if it were: nobody averages without a reason.
        self.judge.randomised = True if base.judge.randomised is None else base.judge.randomised
        self.randomised = self.judge.randomised

    def logits(self, x: Array) -> Any:
        """Return the logarithm of the mean softmax."""
        return _mixed([np.array(self.base.logits(x.copy())) for _ in range(self.draws)])

    def forwards(self, gradients: int) -> int:
        """Each draw pays by itself."""
        return self.draws * self.base.forwards(gradients)

    def backwards(self, gradients: int) -> int:
        """Each draw pays by itself."""
        return self.draws * self.base.backwards(gradients)

    def logits_and_gradients(self, x: Array, cotangents: Cotangents, count: int) -> tuple[Any, Any]:
        """Return the logarithm of the mean softmax and the mean gradient; remember how certain it is."""
        every = []
        total = squares = np.zeros(0)
        for draw in range(self.draws):
            logits, gradient = self.base.logits_and_gradients(x.copy(), cotangents, count)
            gradient = np.asarray(gradient)
            wide = gradient.astype(np.float64)
            every.append(np.array(logits))  # a copy: a model may use one buffer for all answers
            total = wide if draw == 0 else total + wide
            squares = wide * wide if draw == 0 else squares + wide * wide
        mean = total / self.draws
        variance = np.maximum(squares / self.draws - mean * mean, 0.0) * (self.draws / (self.draws - 1))
        axes = tuple(range(1, mean.ndim))
        length = np.sqrt((mean * mean).sum(axis=axes))
        error = np.sqrt(variance.sum(axis=axes) / self.draws)
        self.errors = np.divide(
            error, length, out=np.where(error > 0, np.inf, 0.0), where=length > 0
        )  # 0: all agree on it
        return _mixed(every), mean.astype(gradient.dtype)


def _mixed(every: list[Array]) -> Array:
    """Return logits whose softmax is the mean of the softmaxes."""
    total = np.zeros(every[0].shape)
    for logits in every:
        shares = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        total += shares / shares.sum(axis=1, keepdims=True)
    mixed: Array = np.log(np.maximum(total / len(every), np.finfo(np.float64).tiny))
    return mixed.astype(every[0].dtype)
