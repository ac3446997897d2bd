"""A module's graph, and the walk over its nodes."""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch

from advcore.nn.torch_import import modules, norms, rearrange
from advcore.nn.torch_import.builder import BATCH, Batch, Builder, RefusedError, Value
from advcore.nn.torch_import.states import CellState, States

# The batch's extent where torch.export wants a number: a prime that no module has by chance.
_EXPORTED_BATCH = 10007


@dataclass(frozen=True)
class Traced:
    """A graph, the module that its names refer to, and its inputs that are tensors of the module."""

    graph: torch.fx.Graph
    root: torch.nn.Module
    tensors: dict[str, Any]
    exported: bool = False


class _Tracer(torch.fx.Tracer):
    """Looks into every module but torch's own."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return modules.kind_of(m) is not None or super().is_leaf_module(m, module_qualified_name)


def trace(module: torch.nn.Module, example_shape: tuple[int, ...], dtype: torch.dtype) -> Traced:
    """Return the module's graph: torch.fx's, or torch.export's where Python decides by shapes.

    Raises
    ------
    ValueError
        If neither can follow the module.
    """
    root = torch.nn.Sequential(module) if modules.kind_of(module) else module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch is about to change in itself
        try:
            return Traced(_Tracer().trace(root), root, {})
        except Exception as error:  # whatever the module's own Python raises on what is no tensor
            by_fx = first_line(error)
        try:
            with _quiet():
                program = torch.export.export(module, (torch.empty(_EXPORTED_BATCH, *example_shape, dtype=dtype),))
        except Exception as error:
            raise ValueError(
                "module has no graph, because its Python depends on the data or on what torch cannot follow; "
                "rewrite that part with tensor operations or set it apart. "
                f"torch.fx: {by_fx}; torch.export: {first_line(error)}"
            ) from error
    signature = program.graph_signature
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    tensors: dict[str, Any] = {node: _tensor(module, path) for node, path in named.items()}
    tensors |= {node: program.constants[path] for node, path in signature.inputs_to_lifted_tensor_constants.items()}
    return Traced(program.graph, module, tensors, exported=True)


def first_line(error: Exception) -> str:
    """Return what an error says, in short."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch.export from printing what it could not do: the error says it."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)


def _tensor(module: torch.nn.Module, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)


def walk(traced: Traced, b: Builder, x: Value) -> Value:
    """Append layers for all nodes of a graph, and return the value that the module returns.

    Raises
    ------
    ValueError
        If a node has no layer; the message names it.
    """
    values: dict[torch.fx.Node, Any] = {}

    def resolve(argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            return values[argument]
        return BATCH if traced.exported and type(argument) is int and argument == _EXPORTED_BATCH else argument

    waiting = [x]
    needed = _needed(traced.graph)
    for node in traced.graph.nodes:
        if node not in needed:
            continue
        arguments = torch.fx.node.map_aggregate(node.args, resolve)
        options = torch.fx.node.map_aggregate(node.kwargs, resolve)
        if node.op == "output":
            return _result(arguments[0], traced.exported)
        if node.op == "placeholder":
            if node.name in traced.tensors:
                values[node] = traced.tensors[node.name]
            elif waiting:
                values[node] = waiting.pop()
            elif node.args:
                values[node] = node.args[0]  # the default of an argument that classifiers need not be given
            else:
                raise ValueError(f"module must take one tensor, got one more input: {node.target}")
            continue
        b.name = node.target if node.op in ("call_module", "get_attr") else node.name
        try:
            values[node] = _run(traced, b, node, arguments, options)
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            raise ValueError(f"cannot import {_operator(traced, node)}: {error}") from error
    raise ValueError("module must return a tensor, got nothing")


def _needed(graph: torch.fx.Graph) -> set[torch.fx.Node]:
    """Return the nodes that the output depends on, and all inputs."""
    needed = {node for node in graph.nodes if node.op in ("placeholder", "output")}
    for node in reversed(graph.nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return needed


def _result(output: Any, exported: bool) -> Value:
    if exported and len(output) == 1:
        (output,) = output
    if not isinstance(output, Value):
        alone = isinstance(output, torch.Tensor)
        got = "a tensor that does not depend on its input" if alone else type(output).__name__
        raise ValueError(f"module must return its logits as one tensor, got {got}; wrap it in a module that does")
    if output.batch:
        raise ValueError(f"module must return (N, K), got the batch as axis {output.batch}")
    return output


def _run(traced: Traced, b: Builder, node: torch.fx.Node, arguments: Any, options: Any) -> Any:
    if node.op == "get_attr":
        return _tensor(traced.root, str(node.target))
    if node.op == "call_module":
        return modules.apply(b, traced.root.get_submodule(str(node.target)), *arguments, **options)
    everything = (*arguments, *options.values())
    if _contains(everything, CellState) and (
        node.target is not operator.getitem or isinstance(arguments[0], CellState)
    ):
        raise RefusedError("the state c_n of an LSTM is not supported, h_n is")
    if not _contains(everything, Value, States):
        return _constant(node, arguments, options)
    apply = _function(node)
    if apply is None:
        raise RefusedError(f"this operator is not supported; {modules.supported()}")
    return apply(b, *arguments, **options)


def _constant(node: torch.fx.Node, arguments: Any, options: Any) -> Any:
    """Compute what does not depend on the input."""
    if _name(node) in ("zeros", "new_zeros"):  # initial states: any batch has the same
        arguments = torch.fx.node.map_aggregate(arguments, lambda part: 1 if isinstance(part, Batch) else part)
    elif _contains(arguments, Batch) and _name(node) != "getitem":
        raise RefusedError("arithmetic with the batch's size is not supported; use -1 or size(0) itself")
    if node.op == "call_method":
        return getattr(arguments[0], str(node.target))(*arguments[1:], **options)
    assert callable(node.target)
    return node.target(*arguments, **options)


def _name(node: torch.fx.Node) -> str:
    """Return the name of the function or method, the same for torch's ways to say it."""
    target: Any = node.target
    if node.op == "call_method":
        return str(target).rstrip("_")
    if isinstance(target, torch._ops.OpOverload):
        return str(target._schema.name).split("::")[1].strip("_")
    name = str(getattr(target, "__name__", target))
    if str(getattr(target, "__module__", "")) == "_operator" and name in ("iadd", "isub", "imul", "itruediv"):
        return name[1:]
    return name.strip("_")


def _function(node: torch.fx.Node) -> Callable[..., Any] | None:
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):
        if target.namespace != "aten":
            return None
        return _ATEN.get(_name(node), modules.FUNCTIONS.get(_name(node)))
    if node.op == "call_function":
        home = str(getattr(target, "__module__", None) or "torch").split(".")[0]
        if home not in ("torch", "torchvision", "_operator", "builtins"):
            return None  # a user's own function may bear any name
    return modules.FUNCTIONS.get(_name(node))


def _contains(argument: Any, *kinds: type) -> bool:
    if isinstance(argument, (tuple, list)):
        return any(_contains(part, *kinds) for part in argument)
    if isinstance(argument, dict):
        return any(_contains(part, *kinds) for part in argument.values())
    if isinstance(argument, slice):
        return _contains((argument.start, argument.stop, argument.step), *kinds)
    return isinstance(argument, kinds)


def _operator(traced: Traced, node: torch.fx.Node) -> str:
    if node.op == "call_module":
        return f"node {node.target}, a {type(traced.root.get_submodule(str(node.target))).__name__}"
    return f"node {node.name}, {_name(node)}"


# Where torch.export's functions take other arguments than torch's.
_ATEN: dict[str, Callable[..., Any]] = {
    "slice": rearrange.cut,
    "split_with_sizes": rearrange.split,
    "alias": rearrange.same,
    "detach": rearrange.same,
    "to_copy": rearrange.convert,
    "assert_tensor_metadata": rearrange.same,
    **norms.ATEN,
}
