"""What an attack sees of a model: logits for everybody, gradients where the model has them.

Networks of advcore, torch modules and plain callables all become an Access, and nothing above knows which.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._access import Access, Cotangents
from advcore.attacks._callback import OUTPUTS, Callback
from advcore.nn._coordinates import CoordinateProbe
from advcore.nn.runnable import Runnable


class NativeModel(Access):
    """Anything with ``logits(x)``; white-box if it has ``vjp(x, cotangent)`` too. It may say that it is ``randomised``,
    and that its last column ``rejects``.

    ``value_and_vjp(x, function)`` and ``value_and_vjps(x, function, count)``, as Network has them, save forward passes.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.several, self.combined, separate = (
            callable(getattr(model, name, None)) for name in ("value_and_vjps", "value_and_vjp", "vjp")
        )
        self.gradients = self.several or self.combined or separate
        self.randomised = getattr(model, "randomised", None)
        self.rejects = bool(getattr(model, "rejects", False))
        self._probe: CoordinateProbe | None = None
        self.pure = isinstance(model, Runnable) and type(model).logits is Runnable.logits

    def simulate(self) -> None:
        """Answer for moved coordinates by propagating differences through the network, in place of full passes."""
        self._probe = CoordinateProbe(self.model)

    def moved(self, x: Array, coordinates: Any, h: float, bounds: tuple[float, float]) -> tuple[Any, Any] | None:
        """Propagate differences, once the short cut has been chosen."""
        if self._probe is None:
            return None
        if self.vjp_seconds is None:
            ones = np.ones((1, self.model.output_shape(x.shape[1:])[0]), x.dtype)
            start = time.perf_counter()
            self.model.vjp(x[:1], ones)
            self.vjp_seconds = time.perf_counter() - start
        values = self._probe.values(x, coordinates, h, bounds)
        self.simulated = True
        return values.plus, values.minus

    def logits(self, x: Array) -> Any:
        """Ask the model."""
        return self.model.logits(x)

    def forwards(self, gradients: int) -> int:
        """Logits come first, and every vjp that is not combined with them has a forward pass of its own."""
        if self.several:
            return 1
        return gradients if self.combined else 1 + gradients

    def logits_and_gradients(self, x: Array, cotangents: Cotangents, count: int) -> tuple[Any, Any]:
        """Ask the model, in one pass where it can."""
        model = self.model
        if self.several and (count > 1 or not self.combined):
            logits, gradients = model.value_and_vjps(x, lambda z: _contiguous(cotangents(z), 1), count)
            return logits, np.swapaxes(gradients, 0, 1)
        if not self.combined:
            logits = np.array(model.logits(x.copy()))  # copies: models work in place, or use one buffer for all answers
            directions = _contiguous(cotangents(logits), 1)
            return logits, _stack([np.array(model.vjp(x.copy(), direction)) for direction in directions])
        kept: list[Array] = []

        def first(logits: Any) -> Array:
            kept.extend(_contiguous(cotangents(logits), 1))
            return kept[0]

        logits, gradient = model.value_and_vjp(x if count == 1 else x.copy(), first)
        if count == 1:
            return logits, _stack([gradient])
        others = (np.array(model.vjp(x.copy(), direction)) for direction in kept[1:])
        return np.array(logits), _stack([np.array(gradient), *others])


class TorchModule(Access):
    """A torch.nn.Module that maps (N, ...) to logits; run in evaluation mode, in its parameters' type."""

    gradients = True

    def __init__(self, module: Any) -> None:
        self.module = module
        self.torch = sys.modules["torch"]
        self.randomised = getattr(module, "randomised", None)
        self.rejects = bool(getattr(module, "rejects", False))
        parameter = next(module.parameters(), None)
        self.options = {} if parameter is None else {"dtype": parameter.dtype, "device": parameter.device}

    def logits(self, x: Array) -> Any:
        """Run the module without a tape."""
        with self.torch.no_grad(), _evaluating(self.module):
            return self._array(self._output(self._tensor(x)))

    def logits_and_gradients(self, x: Array, cotangents: Cotangents, count: int) -> tuple[Any, Any]:
        """Run the module with a tape, for the input alone: gradients of its parameters are left as they are."""
        torch = self.torch
        with torch.inference_mode(False), torch.enable_grad(), _evaluating(self.module):
            leaf = self._tensor(x).requires_grad_()
            logits = self._output(leaf.clone())  # its first layer may work in place
            values = self._array(logits.detach())
            weights = torch.as_tensor(cotangents(values), dtype=logits.dtype, device=logits.device)
            gradients = []
            for j in range(count):
                options = {"retain_graph": j + 1 < count, "allow_unused": True, "materialize_grads": True}
                (gradient,) = torch.autograd.grad(logits, leaf, weights[:, j], **options)
                gradients.append(self._array(gradient))
        return values, _stack(gradients)

    def _output(self, tensor: Any) -> Any:
        output = self.module(tensor)
        if not isinstance(output, self.torch.Tensor):
            raise TypeError(f"the module must return a tensor of logits, got a {type(output).__name__}")
        return output

    def _array(self, tensor: Any) -> Array:
        narrow = tensor.dtype in (self.torch.bfloat16, self.torch.float16)  # NumPy has no bfloat16
        array: Array = (tensor.float() if narrow else tensor).cpu().numpy()
        return array

    def _tensor(self, x: Array) -> Any:
        return self.torch.tensor(x).to(**self.options)


def wrap(model: Any, output: str | None = None, *, needs: str = "scores", named: int = 2) -> Access:
    """Return what an attack may see of a model.

    Parameters
    ----------
    model : object with logits(x) (and vjp), pair (logits, vjp) of callables, torch module or callable
    output : str, optional
        What a plain callable returns, one of OUTPUTS.
    needs : "gradient", "scores", "top1" or "label"
        What the attack needs at least.
    named : int
        Classes that labels and targets name, for a callable that gives labels alone.
    """
    _check.methods("model", model, ())
    if isinstance(model, Access):  # of expectation, backward_pass or joint: the caller's own stays as it is
        return copy.copy(model)
    torch = sys.modules.get("torch")  # a torch module cannot come from a process that has not imported torch
    is_module = torch is not None and isinstance(model, torch.nn.Module)
    if isinstance(model, tuple) and len(model) == 2 and all(map(callable, model)):
        model = SimpleNamespace(logits=model[0], vjp=model[1])
    if callable(getattr(model, "logits", None)) or is_module:
        if output not in (None, "logits"):
            raise ValueError(f'output must be None or "logits" for a model that gives logits, got {output!r}')
        return TorchModule(model) if is_module else NativeModel(model)
    if not callable(model):
        raise TypeError(f"model must have logits(x), or be a torch module or a callable, got a {type(model).__name__}")
    if output is None:
        raise ValueError(f"output must say what the callable returns, one of {', '.join(OUTPUTS)}; got None")
    enough = {"label": OUTPUTS, "top1": OUTPUTS[:3]}.get(needs, OUTPUTS[:2])
    if _check.choice("output", output, OUTPUTS) not in enough:
        expected = " or ".join(f'"{choice}"' for choice in enough)
        raise ValueError(f"output must be {expected} for this attack, which needs {needs}; got {output!r}")
    return Callback(model, output, named)


def top_class(scores: Array, rejects: bool) -> NDArray[np.int64]:
    """Return the class of each row's largest score, (N,), or -1 where it is the last one, and that one rejects."""
    top = np.asarray(scores.argmax(axis=1), np.int64)
    return np.where(rejects & (top == scores.shape[1] - 1), -1, top)


def _contiguous(directions: Array, axis: int) -> Array:
    """Bring an axis to the front, so that each entry along it is an array of its own."""
    return np.ascontiguousarray(np.moveaxis(directions, axis, 0))


def _stack(gradients: list[Any]) -> Any:
    """Put gradients (B, ...) side by side, (B, J, ...)."""
    arrays = [np.asarray(gradient) for gradient in gradients]
    return arrays[0][:, np.newaxis] if len(arrays) == 1 and arrays[0].ndim else np.stack(arrays, axis=1)


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
