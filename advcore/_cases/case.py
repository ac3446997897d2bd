"""What a case is, how it is run on both sides, and how far apart the two may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from advcore import ops
from advcore._check import Array

Make = Callable[[np.random.Generator, Any], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One call of one operation: the arguments that are arrays, by name and shape, and the plain options.

    ``terms`` is the length of the longest sum behind one output. ``make(rng, dtype)`` builds further arguments that are
    not arrays of standard normal numbers (indices, tuples of states). A ``bench`` case is a published shape: it is
    timed, and too large for the sweep of the tests. ``through`` names the layer whose tape the operation takes: the
    layer is run first, with all arguments but those called grad_*. Of a ``weighed`` case the peak
    memory is measured too. A positive ``rms`` bounds ``root_mean_square`` in place of the largest difference: where
    rounding errors decide single ReLUs, single gradients jump.
    """

    op: str
    arrays: Mapping[str, Sequence[int]]
    options: Mapping[str, Any] = field(default_factory=dict)
    terms: int = 1
    make: Make | None = None
    bench: bool = False
    label: str = ""
    through: str = ""
    weighed: bool = False
    rms: float = 0.0

    @property
    def name(self) -> str:
        """A readable, unique name for reports and test ids."""
        if self.label:
            return f"{self.op}[{self.label}]"
        shapes = ",".join("x".join(map(str, shape)) for shape in self.arrays.values())
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.op}[{shapes}{',' if options else ''}{options}]"

    def inputs(self, dtype: Any, seed: int = 0) -> dict[str, Any]:
        """Draw the arguments: the same numbers for every type, up to rounding."""
        rng = np.random.default_rng(seed)
        made = self.make(rng, dtype) if self.make else {}
        return {name: rng.standard_normal(shape).astype(dtype) for name, shape in self.arrays.items()} | made


def tolerance(dtype: Any, terms: int) -> float:
    """The one tolerance: 16 eps, growing with the root of the number of terms that are added."""
    return float(16 * np.finfo(dtype).eps * math.sqrt(max(terms, 1)))


def run(case: Case, inputs: Mapping[str, Any]) -> list[Array]:
    """Run the operation of advcore.ops; several results become a flat list."""
    return _flat(_call(ops, case, inputs))


def run_reference(case: Case, inputs: Mapping[str, Any]) -> list[Array]:
    """Run advcore.reference in float64 on the same numbers."""
    from advcore import reference

    tensors = {name: _to_torch(value) for name, value in inputs.items()}
    return _flat(_call(reference, case, tensors))


def root_mean_square(got: Sequence[Array], want: Sequence[Array]) -> float:
    """Return the largest root of a result's mean squared difference, relative to its own; infinite as ``compare``."""
    worst = compare(got, want)
    if not 0 < worst < math.inf:
        return worst
    lengths = [
        (np.linalg.norm((ours - theirs).ravel()), np.linalg.norm(theirs.ravel()))
        for ours, theirs in zip(got, want, strict=True)
    ]
    return max(float(difference / (length or 1)) for difference, length in lengths)


def compare(got: Sequence[Array], want: Sequence[Array]) -> float:
    """Return the largest difference, in units of a result's largest magnitude; infinite where shapes or NaN differ."""
    if len(got) != len(want):
        return math.inf
    worst = 0.0
    for ours, theirs in zip(got, want, strict=True):
        if ours.shape != theirs.shape or not np.array_equal(np.isnan(ours), np.isnan(theirs)):
            return math.inf
        if ours.size == 0:
            continue
        same = (ours == theirs) | np.isnan(ours)  # infinities included
        difference = np.abs(np.where(same, 0.0, ours).astype(np.float64) - np.where(same, 0.0, theirs))
        scale = np.max(np.abs(np.where(np.isfinite(theirs), theirs, 0.0)), initial=0.0)
        worst = max(worst, float(difference.max()) / (float(scale) or 1.0))
    return worst


def packed(operation: Callable[..., Any], case: Case, inputs: Mapping[str, Any]) -> tuple[Any, tuple[Any]]:
    """Return a PackedConv2d with the case's weights, and what it is called with."""
    weights = {name: value for name, value in inputs.items() if name != "input"}
    image = inputs["input"]
    return operation(**weights, **case.options, input_size=tuple(image.shape[-3:])), (image,)


def _call(module: ModuleType, case: Case, inputs: Mapping[str, Any]) -> Any:
    operation = getattr(module, case.op)
    if case.op == "PackedConv2d":
        layer, (image,) = packed(operation, case, inputs)
        return layer(image)
    if not case.through:
        return operation(**inputs, **case.options)
    grads = {name: value for name, value in inputs.items() if name.startswith("grad_")}
    others = {name: value for name, value in inputs.items() if name not in grads}
    tape = getattr(module, case.through)(**others, **case.options, return_tape=True)[-1]
    return operation(tape, **grads)


def _flat(result: Any) -> list[Array]:
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in _flat(part)]
    return [] if result is None else [np.asarray(result)]


def _to_torch(value: Any) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        wide = value.astype(np.float64) if value.dtype.kind == "f" else value
        return torch.from_numpy(np.array(wide, order="C"))
    if isinstance(value, (tuple, list)):
        return type(value)(_to_torch(part) for part in value)
    return value
