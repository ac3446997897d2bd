"""Recurrent layers over sequences (N, T, features)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from advcore import _check, ops
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, expect_shape, options_text
from advcore.ops._recurrent import Cell
from advcore.ops.recurrent_grad import recurrent_grad


class _Recurrent(Layer):
    """Layers and directions of one kind of cell; parameters have torch's names, order and gate layout."""

    _gates: ClassVar[int]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        *,
        bidirectional: bool = False,
        output: str = "sequence",
    ) -> None:
        self.input_size = _check.integer("input_size", input_size, minimum=1)
        self.hidden_size = _check.integer("hidden_size", hidden_size, minimum=1)
        self.num_layers = _check.integer("num_layers", num_layers, minimum=1, maximum=1000)
        self.bias = _check.flag("bias", bias)
        self.bidirectional = _check.flag("bidirectional", bidirectional)
        self.output = _check.choice("output", output, ("sequence", "last"))
        self._directions = 2 if self.bidirectional else 1
        rows = self._gates * self.hidden_size
        shapes: dict[str, Shape] = {}
        for layer in range(self.num_layers):
            features = self._directions * self.hidden_size if layer else self.input_size
            for suffix in (f"l{layer}", f"l{layer}_reverse")[: self._directions]:
                shapes |= {f"weight_ih_{suffix}": (rows, features), f"weight_hh_{suffix}": (rows, self.hidden_size)}
                if self.bias:
                    shapes |= {f"bias_ih_{suffix}": (rows,), f"bias_hh_{suffix}": (rows,)}
        super().__init__(shapes, 1 / math.sqrt(self.hidden_size))

    def __repr__(self) -> str:
        return options_text(
            self,
            *(self.input_size, self.hidden_size),
            num_layers=(self.num_layers, 1),
            bias=(self.bias, True),
            bidirectional=(self.bidirectional, False),
            output=(self.output, "sequence"),
            **self._extra_options(),
        )

    def _extra_options(self) -> dict[str, tuple[object, object]]:
        return {}

    def _run(self, x: Array, params: list[Array], **options: Any) -> tuple[Any, ...]:
        """Return the operation's output, last state h, (layers * directions, N, H), and the tape if asked for."""
        raise NotImplementedError(f"{type(self).__name__} has no operation")

    def _run_grad(self, tape: Any, grad_output: Array, grad_h_n: Array, **needs: bool) -> tuple[Any, ...]:
        """Return the operation's gradients for the input, the initial state and the parameters."""
        raise NotImplementedError(f"{type(self).__name__} has no operation")

    def _apply(self, x: Array, *, return_tape: bool) -> tuple[Any, ...]:
        params = list(self.parameters.values())
        layout = {"num_layers": self.num_layers, "bidirectional": self.bidirectional, "batch_first": True}
        return self._run(x, params, **layout, return_tape=return_tape)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        output, h_n = self._apply(x, return_tape=False)
        return self._select(output, h_n)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Any]:
        """Keep the operation's tape."""
        output, h_n, tape = self._apply(x, return_tape=True)
        return self._select(output, h_n), (tape, output.shape)

    def backward(
        self, saved: Any, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        tape, output_shape = saved
        samples = len(grad)
        grad_h_n = np.zeros((self.num_layers * self._directions, samples, self.hidden_size), grad.dtype)
        if self.output == "sequence":
            grad_output = grad
        else:
            grad_output = np.zeros(output_shape, grad.dtype)
            by_direction = grad.reshape(samples, self._directions, self.hidden_size)
            grad_h_n[-self._directions :] = by_direction.transpose(1, 0, 2)
        needs = {"need_input": need_input, "need_params": need_parameters}
        below, _, of_parameters = self._run_grad(tape, grad_output, grad_h_n, **needs)
        return below, dict(zip(self.parameter_shapes, of_parameters, strict=True)) if need_parameters else {}

    def _select(self, output: Array, h_n: Array) -> Array:
        """Return every step's output, or the last layer's last state of each direction side by side."""
        if self.output == "sequence":
            return output
        last = np.ascontiguousarray(h_n[-self._directions :].transpose(1, 0, 2))
        return last.reshape(len(output), self._directions * self.hidden_size)

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        expect_shape(input_shape, ("T", "features"), (None, self.input_size))
        if input_shape[0] == 0:
            raise ValueError("expected at least 1 step, got 0")
        features = self._directions * self.hidden_size
        return (input_shape[0], features) if self.output == "sequence" else (features,)

    def parameter_count(self, one_bias: bool = False) -> int:
        """Return the number of parameters; with ``one_bias`` b_ih and b_hh count as one, as in textbooks."""
        total = super().parameter_count()
        if one_bias:
            total -= sum(
                math.prod(shape) for name, shape in self.parameter_shapes.items() if name.startswith("bias_hh")
            )
        return total

    def flops(self, input_shape: Shape) -> int:
        """See Layer.flops."""
        weights = sum(math.prod(shape) for shape in self.parameter_shapes.values() if len(shape) == 2)
        return 2 * input_shape[0] * weights

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size: the gates and two states of every step."""
        return input_shape[0] * self.num_layers * self._directions * self.hidden_size * (self._gates + 2)


class RNN(_Recurrent):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), from h = 0, as torch.nn.RNN with batch_first.

    Parameters
    ----------
    input_size : int
        Features of a step.
    hidden_size : int
        Units of the state.
    num_layers : int
        Each layer runs over the outputs of the one before; at most 1000.
    bias : bool
        Whether there are biases.
    bidirectional : bool
        A second state runs from the last step to the first; outputs are side by side.
    output : "sequence" or "last"
        Give every step's output, (N, T, H), or only the last state, (N, H); 2 H when bidirectional.
    """

    _gates = 1

    def _run(self, x: Array, params: list[Array], **options: Any) -> tuple[Any, ...]:
        return ops.rnn_tanh(x, None, params, **options)

    def _run_grad(self, tape: Any, grad_output: Array, grad_h_n: Array, **needs: bool) -> tuple[Any, ...]:
        return recurrent_grad("rnn_tanh", (Cell.RNN_TANH,), tape, grad_output, grad_h_n, None, **needs)


class GRU(_Recurrent):
    """r, z = sigmoid(...), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h, from h = 0.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, bidirectional, output
        As RNN.
    reset : "after" or "before"
        The reset gate multiplies the product, as in torch, or the state before it, as in the paper.

    References
    ----------
    Cho et al.: Learning phrase representations using RNN encoder-decoder. EMNLP 2014.
    """

    _gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        *,
        bidirectional: bool = False,
        output: str = "sequence",
        reset: str = "after",
    ) -> None:
        self.reset = _check.choice("reset", reset, ("after", "before"))
        super().__init__(input_size, hidden_size, num_layers, bias, bidirectional=bidirectional, output=output)

    def _extra_options(self) -> dict[str, tuple[object, object]]:
        return {"reset": (self.reset, "after")}

    def _run(self, x: Array, params: list[Array], **options: Any) -> tuple[Any, ...]:
        return ops.gru(x, None, params, **options, reset=self.reset)

    def _run_grad(self, tape: Any, grad_output: Array, grad_h_n: Array, **needs: bool) -> tuple[Any, ...]:
        return recurrent_grad("gru", (Cell.GRU_AFTER, Cell.GRU_BEFORE), tape, grad_output, grad_h_n, None, **needs)


class LSTM(_Recurrent):
    """i, f, o = sigmoid(...), g = tanh(...), c' = f c + i g, h' = o tanh(c'), from h = c = 0, as torch.nn.LSTM.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, bidirectional, output
        As RNN; the state is h.

    References
    ----------
    Hochreiter, Schmidhuber: Long short-term memory. Neural Computation 9 (1997); with forget gates.
    """

    _gates = 4

    def _run(self, x: Array, params: list[Array], **options: Any) -> tuple[Any, ...]:
        output, (h_n, _), *tape = ops.lstm(x, None, params, **options)
        return output, h_n, *tape

    def _run_grad(self, tape: Any, grad_output: Array, grad_h_n: Array, **needs: bool) -> tuple[Any, ...]:
        return recurrent_grad("lstm", (Cell.LSTM,), tape, grad_output, (grad_h_n, None), None, **needs)
