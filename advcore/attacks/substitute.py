"""Substitute: copy the model by its answers, attack the copy (Papernot et al. 2017, arXiv 1602.02697)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import numpy as np

from advcore import _check, models, nn
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._ledger import Index
from advcore.attacks._losses import LOSSES
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks._vectors import steepest
from advcore.attacks.result import AttackResult

UPDATES = 20  # an epoch, of small training sets


@attack(norm="linf, l2", access="label", cost="2 queries, and the shared queries of the copy's training set")
def substitute(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    own_inputs: Array,
    norm: str = "linf",
    steps: int = 40,
    rounds: int = 4,
    epochs: int = 10,
    augmentation: float = 0.1,
    most_training_queries: int = 10_000,
    build: Callable[[], nn.Network] | None = None,
    **options: Unpack[Options],
) -> AttackResult:
    """Train a copy on the labels that the model gives, and try on the model what PGD finds on the copy.

    The training set starts as ``own_inputs`` and doubles each round by ``x + augmentation sign(dF_label/dx)``, F the
    copy of the round before (equation 4, Jacobian augmentation), each labelled by the model. Then PGD climbs the
    cross-entropy of the last copy from x, and its end is what the model is asked about, once.

    Parameters
    ----------
    model : object with logits(x), torch module, or callable; only the predicted class is used
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        Budget, in the units of x.
    own_inputs : array, (M, ...), of the type of x
        What the attacker has: inputs of the model's kind, without labels, and none of them in x. Within the bounds.
    norm : "linf" or "l2"
    steps : int, at least 1
        Of PGD on the copy, each ``2.5 eps / steps`` long.
    rounds : int, at least 0
        Times that the training set is doubled.
    epochs : int, at least 1
        Of training, from new parameters in every round.
    augmentation : float, above 0
        Lambda, in the units of x.
    most_training_queries : int, at least 1
        The training set grows no further; own inputs beyond are left out.
    build : callable, optional
        Returns a new untrained network for the copy, whose type it takes; unless given: ``models.small_cnn`` for images
        (N, C, H, W) of at least 2 x 2, otherwise ``models.mlp``.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        ``shared_queries`` are those of the training set: one account for all samples, which ``max_queries`` does not
        limit. Per sample: one query for the input itself and one for the end of PGD.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, or an input is not finite or outside its bounds.

    Notes
    -----
    Samples do not feel each other: the copy depends on ``own_inputs`` and the seed alone. The check of the first batch
    of samples comes before training, which is left out where no sample needs it.

    Differs from the paper: PGD on the copy rather than one step of FGSM; no reservoir sampling, but a limit.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2"))
    plan = _Plan(
        _check.integer("steps", steps, minimum=1),
        _check.integer("rounds", rounds, minimum=0),
        _check.integer("epochs", epochs, minimum=1),
        _check.real("augmentation", augmentation, above=0.0),
        _check.integer("most_training_queries", most_training_queries, minimum=1),
        build,
    )
    if build is not None and not callable(build):
        raise TypeError(f"build must be callable, got a {type(build).__name__}")
    given = check("substitute", model, x, y, options)
    start = _check.array("own_inputs", own_inputs, shape=(None, *given.x.shape[1:]), dtype=given.x.dtype)
    _check.finite("own_inputs", start)
    _check.inside("own_inputs", start, given.bounds)
    if not len(start):
        raise ValueError("own_inputs must have at least one input, got none")
    copies: list[nn.Network] = []  # the one copy, once it is there

    def propose(problem: Problem) -> None:
        index = problem.afford(np.arange(len(problem.x)))
        if not len(index):
            return
        if not copies:
            copies.append(_trained(problem, start[: plan.most], plan))
        examples = _climbed(copies[0], problem, index, plan.steps)
        problem.offer(examples, problem.logits(examples, index), index)

    return run(propose, given, norm=norm, eps=eps)


class _Plan(NamedTuple):
    steps: int
    rounds: int
    epochs: int
    augmentation: float
    most: int
    build: Callable[[], nn.Network] | None


def _trained(problem: Problem, inputs: Array, plan: _Plan) -> nn.Network:
    """Train copies on a growing set; return the last one."""
    labels = problem.shared_logits(inputs).argmax(axis=1)
    copy = _fitted(problem, inputs, labels, plan)
    for _ in range(plan.rounds):
        room = plan.most - len(inputs)
        if not room:
            break
        slopes = _in_batches(copy, inputs[:room], problem, _of_labels(labels))
        low, high = problem.region.bounds
        new = np.clip(inputs[:room] + plan.augmentation * np.sign(slopes), low, high).astype(inputs.dtype)
        labels = np.concatenate([labels, problem.shared_logits(new).argmax(axis=1)])
        inputs = np.concatenate([inputs, new])
        copy = _fitted(problem, inputs, labels, plan)
    return copy


def _fitted(problem: Problem, inputs: Array, labels: Index, plan: _Plan) -> nn.Network:
    shape, classes, seed = inputs.shape[1:], problem.classes, problem.seed % 2**32
    if plan.build is not None:
        copy = plan.build()
    elif len(shape) == 3 and min(shape[1:]) >= 2:
        copy = models.small_cnn(shape, classes, seed=seed, dtype=inputs.dtype)
    else:
        copy = models.mlp(shape, classes, seed=seed, dtype=inputs.dtype)
    batch = int(np.clip(len(inputs) // UPDATES, 1, 128))
    nn.fit(copy, inputs.astype(copy.dtype), labels, epochs=plan.epochs, batch_size=batch, seed=seed)
    return copy


def _climbed(copy: nn.Network, problem: Problem, index: Index, steps: int) -> Array:
    """Take PGD's steps on the copy, whether it is right about the inputs or not."""
    region = problem.region
    size = 2.5 * region.eps / steps
    targets = None if problem.targets is None else problem.targets[index]
    labels = problem.y[index]

    def ascent(z: Array, rows: slice) -> Array:
        return LOSSES["cross_entropy"].ascent(
            z.astype(np.float64), labels[rows], None if targets is None else targets[rows]
        )

    current = problem.x[index]
    for _ in range(steps):
        gradient = _in_batches(copy, current, problem, ascent)
        current = problem.project(current + size * steepest(gradient, region.norm or "linf"), index)
    return current


def _of_labels(labels: Index) -> Callable[[Array, slice], Array]:
    """Return the cotangent whose gradient is that of each label's logit."""

    def cotangent(logits: Array, rows: slice) -> Array:
        return np.eye(logits.shape[1])[labels[rows]]

    return cotangent


def _in_batches(copy: nn.Network, x: Array, problem: Problem, cotangent: Callable[[Array, slice], Array]) -> Array:
    """Return the copy's input gradients for cotangent(logits, rows), in the problem's batches and the type of x."""
    gradients = []
    for first in range(0, len(x), problem.batch_size):
        rows = slice(first, min(first + problem.batch_size, len(x)))
        part = np.ascontiguousarray(x[rows], copy.dtype)

        def narrow(logits: Array, rows: slice = rows) -> Array:
            return cotangent(logits, rows).astype(copy.dtype)

        _, gradient = copy.value_and_vjp(part, narrow)
        gradients.append(gradient.astype(x.dtype))
    return np.concatenate(gradients)
