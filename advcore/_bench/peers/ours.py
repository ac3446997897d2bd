"""advcore itself: results go into arrays that are there already."""

from __future__ import annotations

from functools import partial
from typing import Any

from advcore import ops
from advcore._bench.peers import networks
from advcore._bench.peers.participant import Call, Participant
from advcore._cases import Case, run
from advcore._cases.case import packed
from advcore._cases.network import OPERATIONS


def _prepare(case: Case, inputs: dict[str, Any]) -> Call:
    if case.op in OPERATIONS:
        return networks.prepare(case, inputs)
    if case.through:
        return Call(partial(run, case, inputs))  # the layer forward, with its tape, and backward
    if case.op == "PackedConv2d":
        layer, arguments = packed(ops.PackedConv2d, case, inputs)
        return Call(partial(layer, *arguments, out=layer(*arguments)))
    operation = partial(getattr(ops, case.op), **inputs, **case.options)
    result = operation()
    is_sequence = case.op in (
        "rnn_tanh",
        "gru",
        "lstm",
        "batch_norm_lstm",
    )  # they take out= for the output alone, not for the last state
    return Call(partial(operation, out=result[0] if is_sequence else result))


PARTICIPANT = Participant("advcore", (), frozenset({*ops.__all__, *OPERATIONS}), _prepare)
