"""ONNX Runtime: a graph of one convolution, or of a network. Weights are laid out once, before the timing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from advcore._bench.peers.participant import Call, Participant
from advcore._cases import Case
from advcore._check import Array


def _prepare(case: Case, inputs: dict[str, Any]) -> Call:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # 0: all cores
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # another's turn is next
    with tempfile.TemporaryDirectory(prefix="advcore-bench-") as folder:
        file = Path(folder) / "model.onnx"
        input = _write(case, inputs, file)
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, ort.OrtValue.ortvalue_from_numpy(input))
    output = session.get_outputs()[0].name
    result = ort.OrtValue.ortvalue_from_numpy(session.run([output], {session.get_inputs()[0].name: input})[0])
    binding.bind_ortvalue_output(output, result)
    return Call(
        lambda: session.run_with_iobinding(binding), lambda _: [result.numpy().copy()]
    )  # of memory that goes with the call


def _write(case: Case, inputs: dict[str, Any], file: Path) -> Array:
    """Write the model; return its input."""
    if case.op == "logits":
        inputs["network"].to_onnx(file, inputs["x"].shape[1:])
        return np.asarray(inputs["x"])
    file.write_bytes(_convolution(case, inputs))
    return np.asarray(inputs["input"])


def _convolution(case: Case, inputs: dict[str, Any]) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    option = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "activation": None} | dict(case.options)
    weights = [name for name in ("weight", "bias") if inputs.get(name) is not None]
    activation = option["activation"]
    convolution = helper.make_node(
        "Conv",
        ["input", *weights],
        ["sum" if activation else "output"],
        strides=_pair(option["stride"]),
        pads=_pair(option["padding"]) * 2,
        dilations=_pair(option["dilation"]),
        group=option["groups"],
    )
    nodes = [convolution]
    if activation:
        nodes.append(helper.make_node({"relu": "Relu", "gelu": "Gelu"}[activation], ["sum"], ["output"]))
    graph = helper.make_graph(
        nodes,
        case.op,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, inputs["input"].shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", "K", "OH", "OW"])],
        [numpy_helper.from_array(inputs[name], name) for name in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _pair(value: int | tuple[int, int]) -> list[int]:
    return list(value) if isinstance(value, tuple) else [value, value]


PARTICIPANT = Participant("onnxruntime", ("onnx", "onnxruntime"), frozenset({"PackedConv2d", "logits"}), _prepare)
