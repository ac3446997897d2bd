"""Recurrent cells and layers, by PyTorch; the form of GRU that PyTorch lacks (reset "before") as a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

State = Any  # a tensor, for lstm a pair of tensors


@dataclass(frozen=True)
class RecurrentTape:
    """A call to repeat under autograd: the layer, what is differentiated, and the options."""

    layer: Callable[..., tuple[Tensor, State]]
    input: Tensor
    hx: State
    params: Sequence[Tensor]
    options: dict[str, Any]


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """torch.rnn_tanh_cell."""
    hx = input.new_zeros(len(input), w_hh.shape[1]) if hx is None else hx
    return torch.rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih, b_hh)


def gru_cell(
    input: Tensor,
    hx: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    *,
    reset: str = "after",
) -> Tensor:
    """torch.gru_cell, or its equations with the reset gate before the product."""
    hx = input.new_zeros(len(input), w_hh.shape[1]) if hx is None else hx
    if reset == "after":
        return torch.gru_cell(input, hx, w_ih, w_hh, b_ih, b_hh)
    zero = w_ih.new_zeros(len(w_ih))
    a_r, a_z, a_n = (input @ w_ih.T + (zero if b_ih is None else b_ih)).chunk(3, 1)
    w_r, w_z, w_n = w_hh.chunk(3)
    b_r, b_z, b_n = (zero if b_hh is None else b_hh).chunk(3)
    r, z = torch.sigmoid(a_r + hx @ w_r.T + b_r), torch.sigmoid(a_z + hx @ w_z.T + b_z)
    n = torch.tanh(a_n + (r * hx) @ w_n.T + b_n)
    return (1 - z) * n + z * hx


def lstm_cell(
    input: Tensor,
    hx: tuple[Tensor, Tensor] | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """torch.lstm_cell."""
    zeros = input.new_zeros(len(input), w_hh.shape[1])
    return torch.lstm_cell(input, hx or (zeros, zeros), w_ih, w_hh, b_ih, b_hh)


def rnn_tanh(input: Tensor, hx: Tensor | None, params: Sequence[Tensor], **options: Any) -> tuple[Any, ...]:
    """torch.rnn_tanh, the layer of torch.nn.RNN."""
    return _run(_layer(torch.rnn_tanh), input, hx, params, options)


def gru(
    input: Tensor, hx: Tensor | None, params: Sequence[Tensor], *, reset: str = "after", **options: Any
) -> tuple[Any, ...]:
    """torch.gru, the layer of torch.nn.GRU, or a loop of cells with the reset gate before the product."""
    return _run(_layer(torch.gru) if reset == "after" else _gru_reset_before, input, hx, params, options)


def lstm(input: Tensor, hx: tuple[Tensor, Tensor] | None, params: Sequence[Tensor], **options: Any) -> tuple[Any, ...]:
    """torch.lstm, the layer of torch.nn.LSTM."""
    return _run(_layer(torch.lstm), input, hx, params, options)


def rnn_tanh_grad(tape: RecurrentTape, grad_output: Tensor, grad_h_n: State = None) -> tuple[Tensor, State, Any]:
    """Gradients of rnn_tanh by autograd."""
    leaves = [tape.input, *_flat(tape.hx), *tape.params]
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    states = len(_flat(tape.hx))
    hx: State = leaves[1] if states == 1 else tuple(leaves[1:3])
    with torch.enable_grad():
        output, h_n = tape.layer(leaves[0], hx, leaves[1 + states :], **tape.options)
        loss = (output * grad_output).sum()
        for state, grad in zip(_flat(h_n), _flat(grad_h_n), strict=grad_h_n is not None):
            loss = loss + (state * grad).sum()
        grads = torch.autograd.grad(loss, leaves)
    return grads[0], grads[1] if states == 1 else tuple(grads[1:3]), list(grads[1 + states :])


gru_grad = rnn_tanh_grad
lstm_grad = rnn_tanh_grad


def _flat(state: State) -> list[Tensor]:
    return [] if state is None else [state] if isinstance(state, Tensor) else list(state)


def _run(
    layer: Callable[..., Any], input: Tensor, hx: State, params: Sequence[Tensor], options: dict[str, Any]
) -> tuple[Any, ...]:
    options = {"num_layers": 1, "bidirectional": False, "batch_first": False, "lengths": None} | options
    return_tape = options.pop("return_tape", False)
    if hx is None:
        samples = input.shape[0 if options["batch_first"] else 1]
        zeros = input.new_zeros((1 + options["bidirectional"]) * options["num_layers"], samples, params[1].shape[1])
        hx = (zeros, zeros) if layer.__name__ == "lstm" else zeros
    result = layer(input, hx, params, **options)
    return (*result, RecurrentTape(layer, input, hx, params, options)) if return_tape else result


def _layer(function: Callable[..., Any]) -> Callable[..., tuple[Tensor, State]]:
    """Give torch.rnn_tanh, gru or lstm the signature of a layer; lengths become a packed sequence."""

    def layer(
        input: Tensor,
        hx: State,
        params: Sequence[Tensor],
        num_layers: int,
        bidirectional: bool,
        batch_first: bool,
        lengths: Any,
    ) -> tuple[Tensor, State]:
        params = list(params)
        biases = len(params) == 4 * num_layers * (1 + bidirectional)
        states: State = list(hx) if function is torch.lstm else hx
        if lengths is None:
            output, *h_n = function(input, states, params, biases, num_layers, 0.0, False, bidirectional, batch_first)
            return output, h_n[0] if len(h_n) == 1 else tuple(h_n)
        packed = pack_padded_sequence(input, torch.as_tensor(lengths), batch_first, enforce_sorted=False)
        order, back = packed.sorted_indices, packed.unsorted_indices
        states = [state[:, order] for state in hx] if function is torch.lstm else hx[:, order]
        data, *h_n = function(
            packed.data, packed.batch_sizes, states, params, biases, num_layers, 0.0, False, bidirectional
        )
        steps = input.shape[1 if batch_first else 0]
        output, _ = pad_packed_sequence(
            PackedSequence(data, packed.batch_sizes, order, back), batch_first, total_length=steps
        )
        h_n = [state[:, back] for state in h_n]
        return output, h_n[0] if len(h_n) == 1 else tuple(h_n)

    layer.__name__ = function.__name__
    return layer


def _gru_reset_before(
    input: Tensor,
    hx: Tensor,
    params: Sequence[Tensor],
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
    lengths: Any,
) -> tuple[Tensor, Tensor]:
    x = input.transpose(0, 1) if batch_first else input
    steps, samples = x.shape[:2]
    lengths = torch.full((samples,), steps) if lengths is None else torch.as_tensor(lengths)
    directions = 1 + bidirectional
    each = len(params) // (num_layers * directions)
    h_n = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            h, made = hx[index], [torch.empty(0)] * steps
            for t in reversed(range(steps)) if direction else range(steps):
                active = (t < lengths)[:, None]
                new = gru_cell(x[t], h, *params[each * index : each * (index + 1)], reset="before")
                h = torch.where(active, new, h)
                made[t] = torch.where(active, new, 0.0)
            outputs.append(torch.stack(made))
            h_n.append(h)
        x = torch.cat(outputs, 2)
    return x.transpose(0, 1) if batch_first else x, torch.stack(h_n)
