"""PyTorch's recurrent modules, forward in evaluation mode, or forward and backward in training mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import RNNBase

CELLS = ("rnn_tanh_cell", "gru_cell", "lstm_cell")
OPERATIONS = ("rnn_tanh", "gru", "lstm", "rnn_tanh_grad", "gru_grad", "lstm_grad", *CELLS)


def prepare(
    op: str,
    *,
    input: Tensor,
    hx: Any,
    params: Sequence[Tensor],
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
    reset: str = "after",
    grad_output: Tensor | None = None,
    grad_h_n: Any = None,
) -> Callable[[], Any]:
    """Return the call to be timed: a pass of the layer ``op``, there and back where there is a grad_output."""
    import torch

    if reset != "after":
        raise ValueError(f"PyTorch's reset gate comes after the product, got reset={reset!r}")
    layer = _layer(op, input, params, num_layers, bidirectional, batch_first)

    def forward() -> Any:
        with torch.inference_mode():
            return layer(input, hx)

    if grad_output is None:
        layer.eval()
        return forward

    first = hx if isinstance(hx, tuple) else (hx,)
    leaves = [tensor.requires_grad_() for tensor in (input, *first, *layer.parameters())]
    last_grad = grad_h_n if isinstance(grad_h_n, tuple) else (grad_h_n,)

    def forward_and_backward() -> Any:
        output, last = layer(input, hx)
        last = last if isinstance(last, tuple) else (last,)
        return torch.autograd.grad((output, *last), leaves, (grad_output, *last_grad))

    return forward_and_backward


def prepare_cell(op: str, *, input: Tensor, hx: Any, **params: Tensor) -> Callable[[], Any]:
    """Return the call to be timed: one step of the cell ``op``."""
    import torch

    kind = {"rnn_tanh_cell": torch.nn.RNNCell, "gru_cell": torch.nn.GRUCell, "lstm_cell": torch.nn.LSTMCell}[op]
    cell = kind(input.shape[1], params["w_hh"].shape[1]).eval()
    with torch.no_grad():
        for own, given in zip(cell.parameters(), params.values(), strict=True):
            own.copy_(given)

    def step() -> Any:
        with torch.inference_mode():
            return cell(input, hx)

    return step


def _layer(
    op: str, input: Tensor, params: Sequence[Tensor], num_layers: int, bidirectional: bool, batch_first: bool
) -> RNNBase:
    import torch

    kind = {"rnn_tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[op]
    layer: torch.nn.RNNBase = kind(
        input.shape[-1],
        params[1].shape[1],
        num_layers,
        bias=len(params) == 4 * num_layers * (1 + bidirectional),
        bidirectional=bidirectional,
        batch_first=batch_first,
    )
    with torch.no_grad():
        for own, given in zip(layer.parameters(), params, strict=True):
            own.copy_(given)
    return layer
