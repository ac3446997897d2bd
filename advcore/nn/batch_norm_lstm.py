"""The LSTM with recurrent batch normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from advcore import _check, ops
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, expect_shape, options_text
from advcore.ops.batch_norm_lstm import PARTS


class BatchNormLSTM(Layer):
    """An LSTM whose two products and whose cell are normalised over the batch, from h = c = 0.

    ``a = BN(W_ih x; gamma_ih) + BN(W_hh h; gamma_hh) + b``, ``c' = sigmoid(f) c + sigmoid(i) tanh(g)``,
    ``h' = sigmoid(o) tanh(BN(c'; gamma_c) + beta_c)``: see ``ops.batch_norm_lstm``. Gammas, biases and beta are shared
    over time; statistics are a step's own. In training they are those of the batch, which must have at least 2
    samples; in evaluation running means, so that a sample's result has the same bits in any batch.

    There are as many rows of running statistics as the longest sequence seen in training has steps; in evaluation later
    steps share the last row. A longer sequence in training adds rows, which start from the last one.

    Parameters
    ----------
    input_size : int
        Features of a step.
    hidden_size : int
        Units of the state, H.
    output : "sequence" or "last"
        Give every step's output, (N, T, H), or only the last state, (N, H).
    momentum : float
        In (0, 1]: ``running = (1 - momentum) running + momentum batch``, the variances with divisor N - 1, as torch.
    eps : float
        Added to the variance, positive.
    gamma : float
        Where the three gammas begin, positive. It decides how gradients fare through time: see docs/recurrent.md.
    h0_noise : float
        In training the first h is normal noise of this standard deviation, so that the first steps' statistics do not
        degenerate where inputs are constant. At least 0; the paper's experiments on pixels take 0.1.

    Attributes
    ----------
    buffers : dict of str to array
        "running_mean" and "running_var", (R, 9, H): of the input's part of the gates i, f, g, o, of the state's part of
        them, and of the cell.

    References
    ----------
    Cooijmans, Ballas, Laurent, Gülçehre, Courville: Recurrent batch normalization. ICLR 2017.
    Differs from the paper: evaluation uses running means of the batches' statistics, as torch's batch_norm, and not
    those of the whole training set.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        output: str = "sequence",
        momentum: float = 0.1,
        eps: float = 1e-5,
        gamma: float = 0.1,
        h0_noise: float = 0.0,
    ) -> None:
        self.input_size = _check.integer("input_size", input_size, minimum=1)
        self.hidden_size = _check.integer("hidden_size", hidden_size, minimum=1)
        self.output = _check.choice("output", output, ("sequence", "last"))
        self.momentum = _check.real("momentum", momentum, above=0.0, maximum=1.0)
        self.eps = _check.real("eps", eps, above=0.0)
        self.gamma = _check.real("gamma", gamma, above=0.0)
        self.h0_noise = _check.real("h0_noise", h0_noise, minimum=0.0)
        hidden, gates = self.hidden_size, 4 * self.hidden_size
        shapes: dict[str, Shape] = {
            "weight_ih": (gates, self.input_size),
            "weight_hh": (gates, hidden),
            "bias": (gates,),
            "gamma_ih": (gates,),
            "gamma_hh": (gates,),
            "gamma_c": (hidden,),
            "beta_c": (hidden,),
        }
        statistics = (1, PARTS, hidden)  # rows are added as sequences grow
        super().__init__(
            shapes, 1 / math.sqrt(hidden), buffer_shapes={"running_mean": statistics, "running_var": statistics}
        )

    def __repr__(self) -> str:
        return options_text(
            self,
            *(self.input_size, self.hidden_size),
            output=(self.output, "sequence"),
            momentum=(self.momentum, 0.1),
            eps=(self.eps, 1e-5),
            gamma=(self.gamma, 0.1),
            h0_noise=(self.h0_noise, 0.0),
        )

    def initialise(self, rng: np.random.Generator, dtype: np.dtype[Any]) -> None:
        """Draw the weights as LSTM does; biases and beta are 0, gammas ``gamma``, running statistics 0 and 1."""
        super().initialise(rng, dtype)
        for name, array in self.parameters.items():
            if not name.startswith("weight"):
                array[...] = self.gamma if name.startswith("gamma") else 0
        shape = (1, PARTS, self.hidden_size)
        self.buffers.update(running_mean=np.zeros(shape, dtype), running_var=np.ones(shape, dtype))

    def _run(self, x: Array, hx: tuple[Array, None] | None, *, training: bool, return_tape: bool) -> tuple[Any, ...]:
        statistics = None if training else (self.buffers["running_mean"], self.buffers["running_var"])
        params = list(self.parameters.values())
        return ops.batch_norm_lstm(x, hx, params, statistics, eps=self.eps, batch_first=True, return_tape=return_tape)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        output, (h, _) = self._run(x, None, training=False, return_tape=False)
        result: Array = h if self.output == "last" else output
        return result

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Any]:
        """Keep the operation's tape; in training the running statistics move."""
        hx = None
        if rng is not None and self.h0_noise > 0:
            noise = rng.standard_normal((len(x), self.hidden_size)) * self.h0_noise
            hx = (noise.astype(x.dtype), None)
        output, (h, _), tape = self._run(x, hx, training=rng is not None, return_tape=True)
        if rng is not None:
            self._follow(tape.mean, tape.variance * (len(x) / (len(x) - 1)))
        return (h if self.output == "last" else output), tape

    def _follow(self, mean: Array, variance: Array) -> None:
        """Move the running statistics towards a batch's, with a row for each of its steps."""
        for name, batch in (("running_mean", mean), ("running_var", variance)):
            running = self.buffers[name]
            more = len(batch) - len(running)
            if more > 0:
                running = self.buffers[name] = np.concatenate([running, np.repeat(running[-1:], more, axis=0)])
            seen = running[: len(batch)]
            seen += self.momentum * (batch - seen)

    def backward(
        self, saved: Any, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        if self.output == "sequence":
            below, _, of_parameters = ops.batch_norm_lstm_grad(saved, grad)
        else:
            grad_output = np.zeros((len(grad), len(saved.input), self.hidden_size), grad.dtype)
            below, _, of_parameters = ops.batch_norm_lstm_grad(saved, grad_output, (grad, None))
        return below, dict(zip(self.parameter_shapes, of_parameters, strict=True)) if need_parameters else {}

    def check_buffers(self, prefix: str, state: Mapping[str, Array], dtype: np.dtype[Any]) -> dict[str, Array]:
        """See Layer.check_buffers: there may be any number of rows, of both statistics as many."""
        names = [f"state[{prefix + name!r}]" for name in self.buffer_shapes]
        mean, variance = (state[prefix + name] for name in self.buffer_shapes)
        mean = _check.array(names[0], mean, dtype=dtype, shape=(None, PARTS, self.hidden_size))
        if len(mean) == 0:
            raise ValueError(f"{names[0]} must have at least one row, got shape {mean.shape}")
        variance = _check.array(names[1], variance, dtype=dtype, shape=mean.shape)
        _check.not_negative(names[1], variance)
        return {"running_mean": mean.copy(), "running_var": variance.copy()}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        expect_shape(input_shape, ("T", "features"), (None, self.input_size))
        if input_shape[0] == 0:
            raise ValueError("expected at least 1 step, got 0")
        return (input_shape[0], self.hidden_size) if self.output == "sequence" else (self.hidden_size,)

    def flops(self, input_shape: Shape) -> int:
        """See Layer.flops."""
        return 8 * input_shape[0] * self.hidden_size * (self.input_size + self.hidden_size)

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size: both parts of the gates and three states of every step."""
        return input_shape[0] * self.hidden_size * (2 * 4 + 3)
