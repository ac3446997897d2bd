"""ZOO: the Carlini-Wagner attack by symmetric differences (Chen et al. 2017, arXiv 1708.03999)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from advcore import _check, _files
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks._zoo.search import Search, Settings
from advcore.attacks._zoo.solvers import SOLVERS
from advcore.attacks._zoo.state import Checkpoint
from advcore.attacks.model import NativeModel
from advcore.attacks.result import AttackResult
from advcore.nn.network import Network

TOGETHER = 2**22  # variables of the samples that are searched for at once


class _Preset(NamedTuple):
    steps: int
    coordinates: int
    learning_rate: float
    initial_c: float
    search_steps: int


PRESETS = {
    "paper": _Preset(3000, 128, 1e-2, 0.01, 9),  # for MNIST, section 4.1
    "fast": _Preset(300, 128, 3e-2, 1.0, 3),
}


@attack(
    norm="l2 (minimal)",
    access="scores",
    cost="(2 x coordinates + 1) x steps queries a constant",
    batch_size=1024,  # a step of one sample asks about 257 points
)
def zoo(
    model: Any,
    x: Array,
    y: Array,
    *,
    preset: str = "paper",
    solver: str = "adam",
    variables: str = "box",
    steps: int | None = None,
    coordinates: int | None = None,
    learning_rate: float | None = None,
    h: float = 1e-4,
    c: float | None = None,
    initial_c: float | None = None,
    search_steps: int | None = None,
    kappa: float = 0.0,
    importance: bool = False,
    attack_space: Sequence[tuple[int, int]] = (),
    stop_at_first_success: bool = False,
    abort_early: bool = True,
    simulate: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    **options: Unpack[Options],
) -> AttackResult:
    """Look for the nearest adversarial example with scores alone: ``min ||x' - x||_2^2 + c f(x')`` (equations 1 to 6).

    ``f = max(log F_y - max_{i != y} log F_i, -kappa)``, where F is the softmax; with targets
    ``f = max(max_{i != t} log F_i - log F_t, -kappa)``. Each step draws coordinates at random, estimates df/dx_i by
    ``(f(x' + h e_i) - f(x' - h e_i)) / 2h`` and moves them by Adam, which counts steps a coordinate, or by Newton.

    Parameters
    ----------
    model : object with logits(x), torch module, or callable that maps (B, ...) to scores (B, K)
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    preset : "paper" or "fast"
        Defaults of steps, coordinates, learning_rate, initial_c and search_steps: 3000, 128, 0.01, 0.01 and 9; or 300,
        128, 0.03, 1 and 3.
    solver : "adam" or "newton"
        Newton divides by second differences, which need float64, or a Network (see simulate), to be more than noise.
    variables : "box" or "tanh"
        Move the entries of the input, clipped to the box; or w, x' = low + (high - low) (tanh w + 1) / 2, which cannot
        leave the box, and hardly leaves its edges.
    steps : int, at least 1
        For each constant.
    coordinates : int, at least 1
        That are estimated and moved in a step; of smaller inputs, all.
    learning_rate : float, above 0
        In the units of the variables.
    h : float, above 0
        Half the difference's width, in the units of x.
    c : float, above 0, optional
        The one constant to use. Without it: a binary search a sample, from ``initial_c``.
    initial_c : float, above 0
    search_steps : int, at least 1
        Constants that are tried: after a failure ten times the last one, then bisection between the largest that failed
        and the smallest that succeeded. Each starts anew from x.
    kappa : float, at least 0
        How far past the boundary f still pulls. (A success needs no more than the criterion.)
    importance : bool
        Draw coordinates by the max-pooled size of the perturbation so far, in windows of an eighth of the image, anew
        at every step; else all alike.
    attack_space : sequence of (step, size)
        Move a perturbation of size x size a channel, stretched over the image by bilinear interpolation, from these
        steps on: the paper's, for ImageNet, is ((0, 32), (2000, 64), (10000, 128)). Inputs must be images (C, H, W).
    stop_at_first_success : bool
        Take the first example that succeeds rather than the nearest.
    abort_early : bool
        Give a constant up where 100 steps lowered the objective by less than 0.01%.
    simulate : bool, optional
        Answer the probes of a Network by propagating differences through it: the same queries are charged, and the
        answers are more accurate and many times faster. Unless given: where the model is a Network. Probes of an
        attack_space move many pixels, and are answered by whole passes.
    checkpoint : path, optional
        A folder. The search's state goes there twice a minute, and the same call goes on from it.
    **options
        As for every attack (see Options); batch_size is 1024 unless given.

    Returns
    -------
    AttackResult
        The successful iterate of the smallest L2 distance, or x itself. Per sample: one query for the input itself,
        and ``1 + 2 coordinates`` a step, over all constants.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, a target is the label, the
        model returns what is not finite or of the wrong shape, or the checkpoint is of another search.

    Notes
    -----
    log F_i - log F_j is the difference of the logits, and computed so, in float64: a softmax would round it away.

    Differs from the paper: a probe stops at the bounds and the difference is divided by the distance really probed; the
    gradient of ``||x' - x||^2`` is exact; tanh's derivatives follow by the chain rule from those for the entries; every
    sample has its own coordinates, constant and end; Newton's second derivative is that of the whole objective.
    """
    defaults = PRESETS[_check.choice("preset", preset, tuple(PRESETS))]
    steps = _check.integer("steps", defaults.steps if steps is None else steps, minimum=1)
    coordinates = _check.integer("coordinates", defaults.coordinates if coordinates is None else coordinates, minimum=1)
    rate = _check.real("learning_rate", defaults.learning_rate if learning_rate is None else learning_rate, above=0.0)
    first_c = _check.real("initial_c", defaults.initial_c if initial_c is None else initial_c, above=0.0)
    constants = _check.integer(
        "search_steps", defaults.search_steps if search_steps is None else search_steps, minimum=1
    )
    if c is not None:
        first_c, constants = _check.real("c", c, above=0.0), 1
    given = check("zoo", model, x, y, options)
    settings = Settings(
        _check.choice("solver", solver, tuple(SOLVERS)),
        _check.choice("variables", variables, ("box", "tanh")),
        steps,
        coordinates,
        rate,
        _check.real("h", h, above=0.0),
        first_c,
        constants,
        _check.real("kappa", kappa, minimum=0.0),
        _check.flag("importance", importance),
        _stages(attack_space, given.x),
        _check.flag("stop_at_first_success", stop_at_first_success),
        _check.flag("abort_early", abort_early),
    )
    if settings.attack_space and settings.variables == "tanh":
        raise ValueError("variables must be 'box' with an attack_space, got 'tanh'")
    access, is_network = given.access, isinstance(getattr(given.access, "model", None), Network)
    if simulate is not None and _check.flag("simulate", simulate) and not is_network:
        raise TypeError(f"simulate needs a Network as model, got a {type(model).__name__}")
    simulates = is_network and simulate is not False and not settings.attack_space
    if isinstance(access, NativeModel) and simulates:
        access.simulate()
    folder = None
    if checkpoint is not None:
        folder = Path(_check.path("checkpoint", checkpoint))
        _files.check_writable(folder)

    def propose(problem: Problem) -> None:
        search = Search(problem, settings, Checkpoint(folder, problem, settings))
        if simulates and (search.attempt or search.step):  # as the run was that this one goes on from
            access.simulated = True
        search.run()

    return run(propose, given, together=max(1, TOGETHER // max(1, given.x[:1].size)), minimise="l2")


def _stages(value: Any, x: Array) -> tuple[tuple[int, int], ...]:
    """Return the attack space as pairs (step, size) that grow from step 0."""
    stages = []
    for entry in _check.sequence("attack_space", value):
        step, size = _check.pair("attack_space", entry)
        stages.append(
            (
                _check.integer("attack_space's step", step, minimum=0),
                _check.integer("attack_space's size", size, minimum=1),
            )
        )
    if stages and x.ndim != 4:
        raise ValueError(f"x must have shape (N, C, H, W) with an attack_space, got {x.shape}")
    grows = all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(stages))
    if stages and (stages[0][0] != 0 or not grows):
        raise ValueError(f"attack_space must be pairs (step, size) that grow from step 0, got {tuple(stages)}")
    return tuple(stages)
