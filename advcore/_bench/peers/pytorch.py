"""PyTorch: as it is, with images in channels_last layout, and in float64 as the yardstick of agreement."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from advcore._bench.peers import pytorch_backward, pytorch_networks, pytorch_recurrent
from advcore._bench.peers.participant import Call, Participant
from advcore._cases import Case, run_reference
from advcore._cases.network import OPERATIONS

_FORWARD = (
    *("matmul", "linear", "conv2d", "PackedConv2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"),
    *("batch_norm", "layer_norm", "group_norm", "instance_norm"),
    *("relu", "sigmoid", "tanh", "gelu", "softmax", "log_softmax"),
)
_IMAGES = (
    *("conv2d", "PackedConv2d", "conv2d_input_grad", "conv2d_weight_grad"),
    *("max_pool2d", "max_pool2d_grad", "avg_pool2d", "avg_pool2d_grad", "adaptive_avg_pool2d"),
)

_NETWORKS = ("logits", "loss_gradient", "training_step")  # of attacks it has none


def _prepare(case: Case, inputs: dict[str, Any], *, channels_last: bool = False) -> Call:
    import torch

    if case.op in OPERATIONS:
        return pytorch_networks.prepare(case, inputs, channels_last=channels_last)

    def convert(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(convert, value))
        if not hasattr(value, "dtype"):
            return value
        tensor = torch.from_numpy(value)
        is_image = channels_last and tensor.ndim == 4
        return tensor.contiguous(memory_format=torch.channels_last) if is_image else tensor

    arguments = {name: convert(value) for name, value in inputs.items()} | dict(case.options)
    if case.op in pytorch_recurrent.CELLS:
        return Call(pytorch_recurrent.prepare_cell(case.op, **arguments))
    if case.op in pytorch_recurrent.OPERATIONS:
        return Call(pytorch_recurrent.prepare(case.through or case.op, **arguments))
    backward = pytorch_backward.OPERATIONS.get(case.op)
    call = backward(**arguments) if backward else _forward(case.op, **arguments)

    def run() -> Any:
        with torch.inference_mode():
            return call()

    return Call(run)


def _forward(op: str, **arguments: Any) -> Callable[[], Any]:
    from advcore import reference

    return partial(
        getattr(reference, "conv2d" if op == "PackedConv2d" else op), **arguments
    )  # it packs within the call


def _yardstick(case: Case, inputs: dict[str, Any]) -> Call:
    if case.op in OPERATIONS:
        return pytorch_networks.prepare(case, inputs, wide=True)
    return Call(partial(run_reference, case, inputs))


PLAIN = Participant(
    "torch",
    ("torch",),
    frozenset({*_FORWARD, *pytorch_backward.OPERATIONS, *pytorch_recurrent.OPERATIONS, *_NETWORKS}),
    _prepare,
)
CHANNELS_LAST = Participant(
    "torch channels_last", ("torch",), frozenset({*_IMAGES, "logits"}), partial(_prepare, channels_last=True)
)
YARDSTICK = Participant("reference", ("torch",), frozenset(), _yardstick)
