"""The arguments that every attack takes beside its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from advcore._check import Array
from advcore.attacks._monitor import Progress


class Options(TypedDict, total=False):
    """What every attack takes beside its own arguments, all by keyword and all optional.

    Attributes
    ----------
    targets : int array, (N,), default None
        Classes to reach; without them any wrong class is a success.
    seed : int, default 0
    sample_ids : int array, (N,), default 0 to N - 1
        Random numbers depend on the seed and on the sample's id, not on its place.
    bounds : (low, high), default (0, 1)
        The box of valid inputs; every eps is in its units.
    batch_size : int, 256 unless the attack says otherwise
        Most rows that the model is given at once. Memory grows with it, not with N; results do not depend on it.
    mask : bool array that broadcasts to x, default None
        True where the input may be changed.
    quantize : int, default None
        Examples end on the grid of so many steps from low to high (255 for 8-bit images), and success is decided there.
        The inputs must lie on the grid.
    output : str, default None
        What a plain callable returns: "logits", "probabilities", "top1" or "label".
    randomised : bool, default None
        Whether the model answers differently each time. Unless given: as the model's attribute of that name says, else
        found by asking it twice. A randomised model's success is decided by 100 fresh passes.
    max_seconds : float, above 0, default None
        Time after which the best examples so far are returned.
    max_queries, max_evaluations : int or int array (N,), at least 1, default None
        Most forward evaluations a sample; most forward and backward evaluations together. Never exceeded.
    progress : bool, default False
        Show a progress bar.
    callback : callable, default None
        Called with a Progress after every batch that the model has evaluated; returning True stops the attack.
    trace : bool, default False
        Keep each sample's loss at every iterate in ``AttackResult.traces``.
    """

    targets: Array | None
    seed: int
    sample_ids: Array | None
    bounds: tuple[float, float]
    batch_size: int
    mask: Array | None
    quantize: int | None
    output: str | None
    randomised: bool | None
    max_seconds: float | None
    max_queries: int | Array | None
    max_evaluations: int | Array | None
    progress: bool
    callback: Callable[[Progress], bool | None] | None
    trace: bool


DEFAULTS: Options = {
    "targets": None,
    "seed": 0,
    "sample_ids": None,
    "bounds": (0.0, 1.0),
    "batch_size": 256,
    "mask": None,
    "quantize": None,
    "output": None,
    "randomised": None,
    "max_seconds": None,
    "max_queries": None,
    "max_evaluations": None,
    "progress": False,
    "callback": None,
    "trace": False,
}
