"""A backend for ONNX's own test suite: binds weights, puts the batch in front, imports, and runs on our kernels."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_excluded as _excluded
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import advcore
from advcore.nn.onnx_import.table import OPERATORS, SUPPORTED

EXCLUDED_NAMES = {name: why for why, names in _excluded.EXCLUDED.items() for name in names.split()}
FIRST_OUTPUT_ONLY = frozenset(_excluded.FIRST_OUTPUT_ONLY.split())
WITHOUT_CASES: dict[str, str] = _excluded.WITHOUT_CASES

RECURRENT = ("GRU", "LSTM", "RNN")
PACKED = ("Add", "Concat", "Mul", "Sub")  # all inputs are data
BY_SAMPLE = {
    "Div": (1, 1),
    "Gemm": (2, 2),
    "MatMul": (1, 3),
}  # an input that differs from sample to sample, if it has so many axes


class Case(NamedTuple):
    name: str
    operators: frozenset[str]
    model: ModelProto
    inputs: list[Any]
    outputs: list[Any]
    rtol: float
    atol: float


@functools.cache
def cases() -> dict[str, Case]:
    """Return the cases of the suite that have supported operators alone and take numbers, by name.

    Integers, half precision and sequences are left out, and operators written out as others ("_expanded").
    """
    from onnx.backend.test.loader import load_model_tests

    found = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        tests = [
            test
            for kind in ("node", "simple", "pytorch-operator", "pytorch-converted")
            for test in load_model_tests(kind=kind)
        ]
    for test in tests:
        folder = test.model_dir and Path(test.model_dir)
        model = onnx.load(folder / "model.onnx") if folder else test.model
        operators = frozenset(node.op_type for node in model.graph.node)
        types = [info.type.tensor_type.elem_type for info in model.graph.input[:1]]
        numbers = types in ([TensorProto.FLOAT], [TensorProto.DOUBLE])
        if numbers and operators <= set(SUPPORTED) and operators & set(OPERATORS) and "_expanded" not in test.name:
            inputs, outputs = _stored(folder / "test_data_set_0") if folder else test.data_sets[0]
            found[test.name] = Case(test.name, operators, model, list(inputs), list(outputs), test.rtol, test.atol)
    return found


def _stored(folder: Path) -> tuple[list[Any], list[Any]]:
    def arrays(kind: str) -> list[Any]:
        count = len(list(folder.glob(f"{kind}_*.pb")))
        protos = [TensorProto.FromString((folder / f"{kind}_{index}.pb").read_bytes()) for index in range(count)]
        return [numpy_helper.to_array(proto) for proto in protos]

    return arrays("input"), arrays("output")


def check(case: Case) -> None:
    """Compare the outputs of a case with what our network gives."""
    for index, expected in enumerate(case.outputs[: 1 if case.name in FIRST_OUTPUT_ONLY else None]):
        got, axis = run(case, index)
        np.testing.assert_allclose(got, np.moveaxis(expected, axis, 0), rtol=case.rtol, atol=max(case.atol, 1e-6))
        assert got.dtype == expected.dtype


def run(case: Case, output: int) -> tuple[Any, int]:
    """Return one output, its batch axis first, and where that axis was."""
    node = case.model.graph.node[-1]
    x = case.inputs[0]
    if len(case.model.graph.node) == 1 and node.op_type in BY_SAMPLE and not attribute(node, "transA", 0):
        which, least = BY_SAMPLE[node.op_type]
        other = case.inputs[which] if which < len(case.inputs) else np.zeros(0)
        if other.ndim == x.ndim >= least and len(other) == len(x) > 1:
            rows = []
            for sample in range(len(x)):
                inputs = [x[sample : sample + 1], *case.inputs[1:]]
                inputs[which] = other[sample : sample + 1]
                rows.append(_run(case, inputs, output)[0])
            return np.concatenate(rows), 0
    return _run(case, case.inputs, output)


def _run(case: Case, inputs: Sequence[Any], output: int) -> tuple[Any, int]:
    model = ModelProto.FromString(case.model.SerializeToString())
    graph, node = model.graph, model.graph.node[-1]
    single = len(graph.node) == 1
    held = {tensor.name for tensor in graph.initializer}
    names = [info.name for info in graph.input if info.name not in held]
    kind = graph.input[0].type.tensor_type.elem_type
    packed = (
        single
        and node.op_type in PACKED
        and all(x.ndim == inputs[0].ndim > 0 and len(x) == len(inputs[0]) for x in inputs)
    )
    data = len(inputs) if packed and len(inputs) > 1 else 1
    for name, array in list(zip(names, inputs, strict=True))[data:]:
        graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    x, before = inputs[0], []
    if data > 1:
        x = np.concatenate([array.reshape(len(array), -1) for array in inputs], 1)
        before = _unpack(graph, names, inputs, model.opset_import[0].version)
    elif single and (attribute(node, "transA", 0) or (node.op_type in RECURRENT and not attribute(node, "layout", 0))):
        x = np.ascontiguousarray(x.swapaxes(0, 1))
        before = [helper.make_node("Transpose", ["batch first"], names[:1], perm=[1, 0, 2][: x.ndim])]
    place = list(node.output).index(graph.output[output].name) if single else 0
    axis = batch_axis(node, place, inputs) if single else 0
    name, ndim = graph.output[output].name, case.outputs[output].ndim
    after = []
    if axis:
        after = [helper.make_node("Transpose", [name], ["result"], perm=[axis, *(i for i in range(ndim) if i != axis)])]
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    start = "batch first" if before else names[0]
    graph.input.append(helper.make_tensor_value_info(start, kind, x.shape))
    graph.output.append(helper.make_tensor_value_info("result" if after else name, kind, None))
    network = advcore.from_onnx(model.SerializeToString())
    assert network.imported is not None
    return network.logits(x), axis


def _unpack(graph: Any, names: list[str], inputs: Sequence[Any], opset: int) -> list[NodeProto]:
    """Return nodes that cut one input into several: attributes say where before opset 10, inputs since."""
    nodes, at = [], 0
    for index, (name, array) in enumerate(zip(names, inputs, strict=True)):
        cut = {"starts": [at], "ends": [at + array[0].size], "axes": [1]}
        shape = {"shape": [0, *array.shape[1:]]}
        for what, value in (cut | shape).items():
            graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), f"{what} {index}"))
        bounds = [f"{what} {index}" for what in cut] if opset >= 10 else []
        nodes.append(helper.make_node("Slice", ["batch first", *bounds], [f"part {index}"], **({} if bounds else cut)))
        nodes.append(helper.make_node("Reshape", [f"part {index}", f"shape {index}"], [name]))
        at += array[0].size
    return nodes


def batch_axis(node: NodeProto, output: int, inputs: Sequence[Any]) -> int:
    """Return where a node puts the batch."""
    if node.op_type in RECURRENT:
        return 0 if attribute(node, "layout", 0) else (2, 1, 1)[output]
    if node.op_type == "Transpose":
        perm = attribute(node, "perm", list(range(inputs[0].ndim))[::-1])
        return int(list(perm).index(0))
    if node.op_type == "Unsqueeze":
        axes = attribute(node, "axes", None)
        axes = list(inputs[1]) if axes is None else axes
        ndim = inputs[0].ndim + len(axes)
        return next(axis for axis in range(ndim) if axis not in [a % ndim for a in axes])
    return 0


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def reason(name: str) -> str:
    """Return why a case is left out, or nothing."""
    operators = cases()[name].operators & set(WITHOUT_CASES)
    alone = operators and cases()[name].operators <= set(WITHOUT_CASES)
    return EXCLUDED_NAMES.get(name, "") or (WITHOUT_CASES[min(operators)] if alone else "")


def table() -> list[str]:
    """Return the rows of the table in docs/onnx.md: an operator, how many of its cases pass, wholly and in the first output, of how many."""
    rows = []
    for operator in sorted(OPERATORS):
        names = [name for name, case in cases().items() if operator in case.operators]
        passing = [name for name in names if not reason(name)]
        partly = len(FIRST_OUTPUT_ONLY.intersection(passing))
        rows.append(f"| {operator} | {len(passing) - partly} | {partly or ''} | {len(names)} |".replace("|  |", "| |"))
    return rows


def main() -> None:
    """Write the rows to docs/onnx.md, where the table is the last thing."""
    file = Path(__file__).parents[1] / "docs" / "onnx.md"
    lines = file.read_text().splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("| operator |")) + 2
    file.write_text("\n".join([*lines[:begin], *table()]) + "\n")


if __name__ == "__main__":
    main()
