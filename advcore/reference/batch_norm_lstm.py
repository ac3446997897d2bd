"""An LSTM with batch normalisation, by PyTorch: a plain loop over torch.nn.functional.batch_norm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, linear

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class BatchNormLstmTape:
    """A call to repeat under autograd."""

    input: Tensor
    hx: Pair
    params: Sequence[Tensor]
    statistics: Pair | None
    eps: float
    batch_first: bool


def batch_norm_lstm(
    input: Tensor,
    hx: tuple[Tensor | None, Tensor | None] | None,
    params: Sequence[Tensor],
    statistics: Pair | None = None,
    *,
    eps: float = 1e-5,
    batch_first: bool = False,
    return_tape: bool = False,
) -> tuple[Any, ...]:
    """Run the layer; see advcore.ops.batch_norm_lstm."""
    x = input.transpose(0, 1) if batch_first else input
    first = (None, None) if hx is None else hx
    zeros = x.new_zeros(x.shape[1], params[1].shape[1])
    h, c = (zeros if state is None else state for state in first)
    tape = BatchNormLstmTape(input, (h, c), params, statistics, eps, batch_first)
    output, h_n = _run(input, (h, c), params, statistics, eps, batch_first)
    return (output, h_n, tape) if return_tape else (output, h_n)


def batch_norm_lstm_grad(
    tape: BatchNormLstmTape, grad_output: Tensor, grad_h_n: tuple[Tensor | None, Tensor | None] | None = None
) -> tuple[Tensor, Pair, list[Tensor]]:
    """Gradients by autograd."""
    leaves = [leaf.detach().clone().requires_grad_() for leaf in (tape.input, *tape.hx, *tape.params)]
    with torch.enable_grad():
        output, h_n = _run(leaves[0], (leaves[1], leaves[2]), leaves[3:], tape.statistics, tape.eps, tape.batch_first)
        loss = (output * grad_output).sum()
        for state, grad in zip(h_n, grad_h_n or (), strict=False):
            if grad is not None:
                loss = loss + (state * grad).sum()
        grads = torch.autograd.grad(loss, leaves)
    return grads[0], (grads[1], grads[2]), list(grads[3:])


def _run(
    input: Tensor, hx: Pair, params: Sequence[Tensor], statistics: Pair | None, eps: float, batch_first: bool
) -> tuple[Tensor, Pair]:
    w_ih, w_hh, bias, gamma_ih, gamma_hh, gamma_c, beta_c = params
    x = input.transpose(0, 1) if batch_first else input
    h, c = hx
    outputs = []
    for t in range(len(x)):

        def normalise(y: Tensor, parts: slice, gamma: Tensor, beta: Tensor | None = None, step: int = t) -> Tensor:
            if statistics is None:
                return batch_norm(y, None, None, gamma, beta, training=True, eps=eps)
            mean, variance = (each[min(step, len(each) - 1), parts].flatten() for each in statistics)
            return batch_norm(y, mean, variance, gamma, beta, training=False, eps=eps)

        gates = normalise(linear(x[t], w_ih), slice(0, 4), gamma_ih)
        gates = gates + normalise(linear(h, w_hh), slice(4, 8), gamma_hh) + bias
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(normalise(c, slice(8, 9), gamma_c, beta_c))
        outputs.append(h)
    output = torch.stack(outputs)
    return output.transpose(0, 1) if batch_first else output, (h, c)
