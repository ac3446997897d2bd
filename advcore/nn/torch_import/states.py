"""Recurrent layers: their outputs and last states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from advcore.nn.merge import Concatenate
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.reshape import Reshape
from advcore.nn.slicing import Slice
from advcore.nn.torch_import.builder import BATCH, Builder, RefusedError, Value


@dataclass(frozen=True)
class States:
    """torch's h_n, (layers * directions, N, H): one value (N, H) each, None for those of the lower layers."""

    values: tuple[Value | None, ...]

    @property
    def size(self) -> tuple[Any, ...]:
        """Torch's shape."""
        last = self.values[-1]
        assert last is not None  # the upper layer's
        return (len(self.values), BATCH, *last.shape)

    ndim = 3

    def item(self, b: Builder, index: Any) -> Any:
        """h_n[i] or h_n[i:j]."""
        first, *rest = index if isinstance(index, tuple) else (index,)
        if any(part != slice(None) and part is not ... for part in rest):
            raise RefusedError("only whole states are supported")
        if isinstance(first, slice):
            return States(self.values[first])
        if not isinstance(first, int) or not -len(self.values) <= first < len(self.values):
            raise RefusedError(f"expected the number of a state, at most {len(self.values) - 1}, got {index!r}")
        value = self.values[first]
        if value is None:
            raise RefusedError("only the states of the last layer are supported")
        return value

    def squeeze(self, dim: Any) -> Value:
        """h_n.squeeze(0)."""
        if dim not in (None, 0) or len(self.values) > 1 or self.values[0] is None:
            raise RefusedError("only h_n.squeeze(0) of one layer and direction is supported")
        return self.values[0]

    def permute(self, b: Builder, order: Sequence[int]) -> Value:
        """h_n.transpose(0, 1): (N, layers * directions, H)."""
        if tuple(order) != (1, 0, 2):
            raise RefusedError(f"only h_n.transpose(0, 1) is supported, got the order {tuple(order)}")
        rows = []
        for value in self.values:
            if value is None:
                raise RefusedError("only the states of the last layer are supported")
            rows.append(b.add(Reshape((1, *value.shape)), value, suffix="_row"))
        return rows[0] if len(rows) == 1 else b.add(Concatenate(1), *rows)


class CellState:
    """torch's c_n, which may be there but not be used."""


def _recurrent(kind: type[RNN] | type[GRU] | type[LSTM]) -> Callable[..., Any]:
    def apply(
        b: Builder,
        input: Value,
        hx: Any,
        params: Sequence[torch.Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Any, ...]:
        if input.batch != (0 if batch_first else 1) or input.ndim != 3:
            expected = "(N, T, features)" if batch_first else "(T, N, features)"
            raise RefusedError(f"expected {expected}, got {input.size}; set batch_first to match")
        for state in hx if isinstance(hx, (tuple, list)) else () if hx is None else (hx,):
            if not isinstance(state, torch.Tensor) or bool(state.any()):
                raise RefusedError("the initial state must be zero")
        hidden = params[1].shape[1]
        options = (params[0].shape[1], hidden, num_layers, has_biases)
        names = tuple(kind(*options, bidirectional=bidirectional).parameter_shapes)
        make = partial(kind, bidirectional=bidirectional)
        sequence = b.add_with(make, options, dict(zip(names, params, strict=True)), input)
        forward = Value(sequence.name, sequence.shape)
        if bidirectional:
            first = b.add(Slice(1, 0, 1), forward, suffix="_first")
            states = [
                _flat(b, b.add(Slice(1, -1), forward, suffix="_last"), 0, hidden),
                _flat(b, first, hidden, 2 * hidden),
            ]
        else:
            states = [b.add(Reshape((hidden,)), b.add(Slice(1, -1), forward, suffix="_last"), suffix="_state")]
        lower = [None] * (num_layers - 1) * len(states)
        return (sequence, States((*lower, *states)), *([CellState()] if kind is LSTM else []))

    return apply


def _flat(b: Builder, step: Value, begin: int, end: int) -> Value:
    """One direction's state, (N, H), of a step (N, 1, 2 H)."""
    own = b.add(Slice(2, begin, end), step, suffix="_own")
    return b.add(Reshape((end - begin,)), own, suffix="_state")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "rnn_tanh": _recurrent(RNN),
    "gru": _recurrent(GRU),
    "lstm": _recurrent(LSTM),
}
