"""The cases of every family of operations: they drive the tests against advcore.reference, the selftest and timings."""

from advcore._cases import (
    activations,
    batch_norm_lstm,
    conv2d,
    coordinate_gradient,
    linear,
    neighbors,
    network,
    normalization,
    pooling,
    recurrent,
)
from advcore._cases.case import Case, compare, root_mean_square, run, run_reference, tolerance

FAMILIES: dict[str, list[Case]] = {
    "linear": linear.CASES,
    "conv2d": conv2d.CASES,
    "activations": activations.CASES,
    "recurrent": recurrent.CASES,
    "batch_norm_lstm": batch_norm_lstm.CASES,
    "neighbors": neighbors.CASES,
    "coordinate_gradient": coordinate_gradient.CASES,
    "pooling": pooling.CASES,
    "normalization": normalization.CASES,
    "network": network.CASES,
}
CASES: list[Case] = [case for cases in FAMILIES.values() for case in cases]

__all__ = ["CASES", "FAMILIES", "Case", "compare", "root_mean_square", "run", "run_reference", "tolerance"]
