"""What a network gives, its results and gradients, in pieces of the batch whose memory is bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from advcore import _check
from advcore._check import Array
from advcore._memory import empty
from advcore.nn import inner, passes
from advcore.nn._watch import by_the_network
from advcore.nn.compiled import Programs
from advcore.nn.graph import Node, fuse, trained
from advcore.nn.layer import Layer, Shape
from advcore.nn.layer_graph import LayerGraph
from advcore.nn.losses import Loss, loss_function

# Bytes that one pass may keep; larger batches are cut, which changes no bits. (Twice as much was slower: the allocator
# returns large arrays to the system, which clears them anew.)
MEMORY = 2**27


class Plan(NamedTuple):
    """What a network does with samples of one shape."""

    output_shape: Shape
    piece: int  # samples that one pass of the layers takes
    shapes: dict[str, Shape]  # of a sample at every layer's output, and at the input


class Runnable(LayerGraph):
    """Layers that can be run, forward and back; see Network for the arguments."""

    def __init__(
        self, layers: Mapping[str, Layer], wiring: Mapping[str, Sequence[str]] | None, seed: int, dtype: DTypeLike
    ) -> None:
        super().__init__(layers, wiring, seed, dtype)
        self._steps = fuse(self._nodes)
        self._trained = trained(self._steps)
        self._plans: dict[Shape, Plan] = {}
        self._programs = Programs(self._nodes, self.dtype)

    # Results

    def logits(self, x: Array) -> Array:
        """Return the output of the last layer.

        Parameters
        ----------
        x : array of the network's type, (N, ...)

        Returns
        -------
        array, (N, K)

        Raises
        ------
        TypeError
            If x is not an array of the network's type.
        ValueError
            If the shape does not fit a layer; the message names it.
        """
        x, plan = self._input(x)
        program = self._programs.of(plan.shapes)
        if program is not None:
            return program.logits(x)
        result = empty((len(x), *plan.output_shape), self.dtype)
        for part in _pieces(len(x), plan.piece):
            with by_the_network():
                result[part] = passes.infer(self._steps, x[part])
        return result

    def predict(self, x: Array) -> NDArray[np.int64]:
        """Return the class of the largest logit, the first one among equals, as int64 (N,); -1 where one is NaN."""
        logits = self.logits(x)
        return np.where(np.isnan(logits).any(axis=-1), np.int64(-1), logits.argmax(axis=-1))

    def activations(self, x: Array, names: Sequence[str]) -> dict[str, Array]:
        """Return the outputs of the named layers.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        names : sequence of str
            Of layers: keys of ``layers``.

        Returns
        -------
        dict of str to array, (N, ...)
        """
        names = self._names(names)
        x, plan = self._input(x)
        results: dict[str, Array] = {}
        for part in _pieces(len(x), plan.piece):
            with by_the_network():
                for name, y in passes.values(self._until(names), x[part]):
                    if name not in names:
                        continue
                    if len(y) == len(x) and _is_new(y, (x, *results.values())):
                        results[name] = y
                        continue
                    if name not in results:
                        results[name] = empty((len(x), *y.shape[1:]), self.dtype)
                    results[name][part] = y
        return {name: results[name] for name in names}

    # Gradients

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return the gradient for x of ``sum(logits(x) * cotangent)``: each sample's own.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        cotangent : array of the same type, (N, K)

        Returns
        -------
        array, the shape of x
        """
        x, plan = self._input(x)
        cotangent = _check.array("cotangent", cotangent, dtype=self.dtype, shape=(len(x), *plan.output_shape))
        program = self._programs.of(plan.shapes)
        if program is not None:
            return program.vjp(x, cotangent)
        gradient = empty(x.shape, self.dtype)
        for part in _pieces(len(x), plan.piece):
            _, saved = self.forward(x[part])
            gradient[part] = self.backward(saved, cotangent[part])[0]
        return gradient

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return the logits and the gradient for x of ``sum(logits * cotangent(logits))``, in one pass.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        cotangent : callable
            Takes the logits of the whole batch, (N, K), and returns an array like them, held constant. Called once.

        Returns
        -------
        logits : array, (N, K)
        gradient : array, the shape of x
        """
        x, plan = self._input(x)
        program = self._programs.of(plan.shapes)
        kept = plan.piece if program is None else MEMORY // max(program.tape_size * self.dtype.itemsize, 1)
        if len(x) > kept:  # more than memory holds at once: a second forward pass is the price
            logits = self.logits(x)
            return logits, self.vjp(x, cotangent(logits))

        def checked(logits: Array) -> Array:
            return _check.array("cotangent(logits)", cotangent(logits), dtype=self.dtype, shape=logits.shape)

        if program is not None:
            return program.value_and_vjp(x, checked)
        logits, saved = self.forward(x)
        gradient, _ = self.backward(saved, checked(logits))
        assert gradient is not None  # asked for
        return logits, gradient

    def value_and_vjps(self, x: Array, cotangents: Callable[[Array], Array], count: int) -> tuple[Array, Array]:
        """Return the logits and several gradients, with one forward pass: rows of the Jacobians, or sums of them.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        cotangents : callable
            Takes the logits of the whole batch, (N, K), and returns J arrays like them, (J, N, K), held constant.
        count : int
            J.

        Returns
        -------
        logits : array, (N, K)
        gradients : array, (J, N, ...)
            For x of ``sum(logits * cotangents[j])``.
        """
        x, plan = self._input(x)
        count = _check.integer("count", count, minimum=1)
        program = self._programs.of(plan.shapes)
        kept = plan.piece if program is None else MEMORY // max(program.tape_size * self.dtype.itemsize, 1)
        if len(x) > max(kept, 1):  # more than memory holds at once: a second forward pass is the price
            logits = self.logits(x)
            directions = cotangents(logits)
            gradients = empty((count, *x.shape), self.dtype)
            for direction, gradient in zip(directions, gradients, strict=True):
                gradient[...] = self.vjp(x, direction)
            return logits, gradients

        def checked(logits: Array) -> Array:
            shape = (count, *logits.shape)
            return _check.array("cotangents(logits)", cotangents(logits), dtype=self.dtype, shape=shape)

        if program is not None:
            return program.value_and_vjps(x, checked, count)
        logits, saved = self.forward(x)
        found = [self.backward(saved, direction)[0] for direction in checked(logits)]
        return logits, np.stack([gradient for gradient in found if gradient is not None])

    def activations_vjp(
        self, x: Array, names: Sequence[str]
    ) -> tuple[dict[str, Array], Callable[[Mapping[str, Array]], Array]]:
        """Return the outputs of the named layers, and a function that pulls gradients for them back to x.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        names : sequence of str
            Of layers: keys of ``layers``.

        Returns
        -------
        activations : dict of str to array, (N, ...)
        pull : callable
            Takes a dict of cotangents, arrays like some or all of the activations, and returns the gradient for x of
            ``sum over the layers of sum(activation * cotangent)``. It may be called more than once.

        Notes
        -----
        Unlike the methods above it keeps what the backward pass needs for the whole batch, as long as ``pull`` lives.
        """
        names = self._names(names)
        x, _ = self._input(x)
        return inner.activations_vjp(self._until(names), x, names)

    def loss_gradient(self, x: Array, y: object, loss: str | Loss = "cross_entropy") -> Array:
        """Return the gradient for x of each sample's own loss.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        y : int array, (N,)
            Labels in [0, K); or what else the loss takes as target.
        loss : str or callable
            A name in ``advcore.nn.losses.LOSSES``, or a function (logits, target) -> (loss (N,), gradient (N, K)).

        Returns
        -------
        array, the shape of x
        """
        function = loss_function(loss)
        return self.value_and_vjp(x, lambda logits: function(logits, y)[1])[1]

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of a sample's logits, for a sample's shape."""
        return self._plan(tuple(input_shape)).output_shape

    # Passes

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, list[Any]]:
        """Return the logits and what ``backward`` needs; with a generator in training mode.

        Unlike the methods above it takes the batch as it is: unchecked, and in one piece.
        """
        with by_the_network():
            result = passes.forward(self._steps, x, rng)
        if rng is not None:
            self.parameters_changed()  # running statistics, if there are any
        return result

    def backward(
        self, saved: list[Any], grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """Turn the gradient for the logits into that for x and those for the parameters, by name."""
        trained = self._trained if need_parameters else frozenset()
        with by_the_network():
            return passes.backward(self._steps, saved, grad, trained, need_input)

    # Checks and pieces

    def _names(self, names: Sequence[str]) -> Sequence[str]:
        if isinstance(names, str):
            raise TypeError(f"names must be a sequence of layer names, got the string {names!r}")
        return [_check.choice("names", name, tuple(self.layers)) for name in names]

    def _until(self, names: Sequence[str]) -> list[Node]:
        """Return the steps up to the last of the named layers, joined ones where no name lies inside of them."""
        joined = set(names).issubset(step.name for step in self._steps)
        steps = self._steps if joined else self._nodes
        last = max((index for index, step in enumerate(steps) if step.name in names), default=0)
        return steps[: last + 1]

    def _input(self, x: object) -> tuple[Array, Plan]:
        array = _check.array("x", x, dtype=self.dtype, min_ndim=1)
        return array, self._plan(array.shape[1:])

    def _plan(self, input_shape: Shape) -> Plan:
        if input_shape not in self._plans:
            shapes = self._shapes(input_shape)
            kept = math.prod(input_shape) + sum(node.saved_size(shapes) for node in self._nodes)
            piece = max(1, MEMORY // (max(kept, 1) * self.dtype.itemsize))
            self._plans[input_shape] = Plan(shapes[self._nodes[-1].name], piece, shapes)
        return self._plans[input_shape]


def _is_new(y: Array, others: Sequence[Array]) -> bool:
    """Return whether an array may be handed out without a copy."""
    return y.flags.carray and not any(np.may_share_memory(y, other) for other in others)


def _pieces(samples: int, size: int) -> Iterator[slice]:
    """Cut the batch; an empty one is a piece too, so that results have their shapes."""
    return (slice(begin, begin + size) for begin in range(0, max(samples, 1), size))
