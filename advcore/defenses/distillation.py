"""Defensive distillation (Papernot et al. 2016, arXiv 1511.04508), and what shows that it does not defend."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check, nn, ops
from advcore._check import Array
from advcore.nn import losses


class Distilled(NamedTuple):
    """The two trainings of a distillation. The student is what is deployed, at temperature 1."""

    teacher: nn.History
    student: nn.History


def distillation(
    teacher: nn.Network,
    student: nn.Network,
    x: Array,
    y: object,
    *,
    temperature: float,
    epochs: int,
    checkpoint: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Distilled:
    """Train a teacher on the labels and a student on ``softmax(Z_teacher / T)``, both through a softmax at T.

    Parameters
    ----------
    teacher, student : Network
        Of one architecture in the paper, but two; trained in place.
    x : array of the networks' type, (N, ...)
    y : int array, (N,)
        Labels in [0, K).
    temperature : float, above 0
        T; the paper's is 20, those who broke it used 100.
    epochs : int, at least 1
        Of each training.
    checkpoint : path, optional
        Two files, with ``.teacher`` and ``.student`` added to the name; the training goes on exactly where it was.
    **options
        Of ``nn.fit``, but for ``loss``, for both trainings; a stateful ``optimizer`` is refused: give ``lr`` for both
        Adams instead.

    Returns
    -------
    Distilled

    Raises
    ------
    TypeError, ValueError
        As nn.fit; if the temperature is not positive, or the networks share layers or differ in type or in the shapes
        that they take and give. Nothing has been trained then.

    Notes
    -----
    It is no defence: at T = 1 the student's logits are about T times as large as usual, the softmax saturates and
    cross-entropy's gradient rounds to 0 (``vanished_gradients``), so attacks on it fail without meeting any robustness.
    Attacks on the logits, and on the logits divided by T (``at_temperature``), succeed as if there were no defence.
    """
    temperature = _check.real("temperature", temperature, above=0.0)
    if "optimizer" in options:
        raise TypeError("optimizer must not be given: teacher and student each need their own; give lr")
    if "loss" in options:
        raise TypeError("loss must not be given: it is cross-entropy at the temperature")
    x = _fitting(teacher, student, x)
    rate = _check.real("lr", options.pop("lr", 1e-3), above=0.0)
    files: tuple[Path | None, Path | None] = (None, None)
    if checkpoint is not None:
        path = _check.path("checkpoint", checkpoint)
        files = (path.with_name(f"{path.name}.teacher"), path.with_name(f"{path.name}.student"))
    options["loss"] = functools.partial(losses.cross_entropy, temperature=temperature)
    labels = _check.integers("y", y, shape=(None,), minimum=0, maximum=2**31 - 1)
    first = nn.fit(teacher, x, labels, epochs=epochs, optimizer=nn.Adam(rate), checkpoint=files[0], **options)
    soft = ops.softmax(teacher.logits(x) / teacher.dtype.type(temperature))
    second = nn.fit(student, x, soft, epochs=epochs, optimizer=nn.Adam(rate), checkpoint=files[1], **options)
    return Distilled(first, second)


def _fitting(teacher: nn.Network, student: nn.Network, x: object) -> Array:
    """Return x as an array; refuse networks of which the second cannot learn from the first."""
    _check.instance("teacher", teacher, nn.Network)
    _check.instance("student", student, nn.Network)
    if not {*map(id, teacher.layers.values())}.isdisjoint(map(id, student.layers.values())):
        raise ValueError("student must be another network than the teacher, got one that shares its layers")
    if student.dtype != teacher.dtype:
        raise TypeError(f"student must be of type {teacher.dtype} like the teacher, got {student.dtype}")
    samples = _check.array("x", x, dtype=teacher.dtype, min_ndim=2)
    logits, own = (network.output_shape(samples.shape[1:]) for network in (teacher, student))
    if own != logits:
        raise ValueError(f"student must give logits of the teacher's shape {logits}, got {own}")
    return samples


def vanished_gradients(network: nn.Network, x: Array, y: object) -> NDArray[np.bool_]:
    """Say for which samples cross-entropy's exact gradient for x is 0 in every entry, in the network's own type.

    An attack that follows it cannot move: its failure there is masking, to be counted apart from robustness.

    Parameters
    ----------
    network : Network
    x : array of the network's type, (N, ...)
    y : int array, (N,)

    Returns
    -------
    bool array, (N,)
    """
    gradient = _check.instance("network", network, nn.Network).loss_gradient(x, y)
    return np.asarray(~gradient.any(axis=tuple(range(1, gradient.ndim))))


def at_temperature(network: nn.Network, temperature: float) -> nn.Network:
    """Return the network with its logits divided by a temperature; parameters are shared.

    The classes are the same, but a softmax of a distilled student's logits at its temperature does not saturate.

    Parameters
    ----------
    network : Network
    temperature : float, above 0

    Returns
    -------
    Network
    """
    temperature = _check.real("temperature", temperature, above=0.0)
    network = _check.instance("network", network, nn.Network)
    name = "temperature"
    while name in network.layers:
        name += "_"
    layers = {**network.layers, name: nn.Scale(1 / temperature)}
    return nn.Network(layers, wiring=network.wiring, dtype=network.dtype)
