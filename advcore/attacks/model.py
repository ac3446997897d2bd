"""What an attack sees of a model: logits for everybody, gradients where the model has them.

Networks of advcore, torch modules and plain callables all become an Access, and nothing above knows which.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array

OUTPUTS = ("logits", "probabilities", "top1", "label")
SMALLEST_PROBABILITY = 1e-30  # zeros get a finite logarithm

Cotangent = Callable[[Array], Array]


class Access(ABC):
    """A model at arm's length; what it returns is checked by the ledger that counts the calls.

    ``forwards`` is the number of forward evaluations behind one gradient.
    """

    gradients = False
    forwards = 1

    @abstractmethod
    def logits(self, x: Array) -> Any:
        """Return the logits, (B, K)."""

    def logits_and_gradient(self, x: Array, cotangent: Cotangent) -> tuple[Any, Any]:
        """Return the logits and the gradient of ``sum(logits * cotangent(logits))`` for x, the cotangent held fixed."""
        raise NotImplementedError


class NativeModel(Access):
    """Anything with ``logits(x)``; white-box if it has ``vjp(x, cotangent)`` or ``value_and_vjp(x, function)`` too."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.combined = callable(getattr(model, "value_and_vjp", None))
        self.gradients = self.combined or callable(getattr(model, "vjp", None))
        self.forwards = 1 if self.combined else 2  # logits first, then vjp with a forward pass of its own

    def logits(self, x: Array) -> Any:
        """Ask the model."""
        return self.model.logits(x)

    def logits_and_gradient(self, x: Array, cotangent: Cotangent) -> tuple[Any, Any]:
        """Ask the model, in one pass where it can."""
        if self.combined:
            logits, gradient = self.model.value_and_vjp(x, cotangent)
            return logits, gradient
        logits = self.model.logits(x)
        return logits, self.model.vjp(x, cotangent(logits))


class TorchModule(Access):
    """A torch.nn.Module that maps (N, ...) to logits; run in evaluation mode, in its parameters' type."""

    gradients = True

    def __init__(self, module: Any) -> None:
        self.module = module
        self.torch = sys.modules["torch"]
        parameter = next(module.parameters(), None)
        self.options = {} if parameter is None else {"dtype": parameter.dtype, "device": parameter.device}

    def logits(self, x: Array) -> Any:
        """Run the module without a tape."""
        with self.torch.no_grad(), _evaluating(self.module):
            return self.module(self._tensor(x)).cpu().numpy()

    def logits_and_gradient(self, x: Array, cotangent: Cotangent) -> tuple[Any, Any]:
        """Run the module with a tape, for the input alone: gradients of its parameters are left as they are."""
        with self.torch.enable_grad(), _evaluating(self.module):
            leaf = self._tensor(x).requires_grad_()
            logits = self.module(leaf)
            values = logits.detach().cpu().numpy()
            weights = self.torch.as_tensor(cotangent(values), dtype=logits.dtype, device=logits.device)
            (gradient,) = self.torch.autograd.grad(logits, leaf, weights, allow_unused=True, materialize_grads=True)
        return values, gradient.cpu().numpy()

    def _tensor(self, x: Array) -> Any:
        return self.torch.tensor(x).to(**self.options)


class Callback(Access):
    """A plain callable that maps (B, ...) to logits or probabilities, (B, K)."""

    def __init__(self, function: Callable[[Array], Any], output: str) -> None:
        self.function, self.output = function, output

    def logits(self, x: Array) -> Any:
        """Ask the callable; probabilities become their logarithms, which differ from logits by a constant a sample."""
        answer = self.function(x)
        try:
            scores = np.asarray(answer)
        except ValueError:
            raise ValueError("the model must return an array, got lists of different lengths") from None
        if self.output == "logits" or scores.dtype.kind != "f":
            return scores
        outside = (scores < 0) | (scores > 1 + 1e-5)
        if outside.any():
            raise ValueError(
                f'the model must return probabilities in [0, 1] (output="probabilities"), got {scores[outside][0]:g}'
            )
        return np.log(np.maximum(scores.astype(np.float64), SMALLEST_PROBABILITY))


def wrap(model: Any, output: str | None = None) -> Access:
    """Return what an attack may see of a model; ``output`` says what a plain callable returns."""
    _check.methods("model", model, ())
    torch = sys.modules.get("torch")  # a torch module cannot come from a process that has not imported torch
    is_module = torch is not None and isinstance(model, torch.nn.Module)
    if callable(getattr(model, "logits", None)) or is_module:
        if output not in (None, "logits"):
            raise ValueError(f'output must be None or "logits" for a model that gives logits, got {output!r}')
        return TorchModule(model) if is_module else NativeModel(model)
    if not callable(model):
        raise TypeError(f"model must have logits(x), or be a torch module or a callable, got a {type(model).__name__}")
    if output is None:
        raise ValueError(f"output must say what the callable returns, one of {', '.join(OUTPUTS)}; got None")
    if _check.choice("output", output, OUTPUTS) in ("top1", "label"):
        raise ValueError(
            f'output must be "logits" or "probabilities" for this attack, which needs scores; got {output!r}'
        )
    return Callback(model, output)


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Put a torch module in evaluation mode, and back, each submodule by itself."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
