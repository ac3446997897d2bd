"""Virtual adversarial training (Miyato, Maeda, Koyama, Ishii 2018, arXiv 1704.03976), with few labels or all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random, nn, ops
from advcore._check import Array


def virtual_adversarial_training(
    network: nn.Network,
    x: Array,
    y: object,
    unlabelled: Array | None = None,
    *,
    eps: float,
    epochs: int,
    xi: float = 0.1,
    power_iterations: int = 1,
    weight: float = 1.0,
    labelled_batch: int = 64,
    **options: Any,
) -> nn.History:
    """Train in place on the labels, and on classifying the worst perturbed point as its clean one: semi-supervised.

    ``min_w mean_{labelled} -log p_w(y | x) + weight mean_{all} KL(p(. | x) || p_w(. | x + r))`` (eq. 8), p held
    constant, with ``r = argmax_{||r||_2 <= eps} KL(p(. | x) || p(. | x + r))``, found by power iterations.

    Parameters
    ----------
    network : Network
    x : array of the network's type, (N, ...)
        The labelled samples.
    y : int array, (N,)
        Their labels, in [0, K), at least one of every class.
    unlabelled : array of the network's type, (M, ...), optional
        Without it the labelled samples alone are perturbed.
    eps : float, at least 0
        Length of r in L2, in the units of x.
    epochs : int, at least 1
        Passes over all samples, labelled or not.
    xi : float, above 0
        Length of the step that the power iteration takes its difference over, in the units of x.
    power_iterations : int, at least 1
        Each costs one gradient.
    weight : float, above 0
        Of the second term.
    labelled_batch : int, at least 1
        Labelled samples an update, drawn from all of them (all if there are fewer), beside ``batch_size`` of any.
    **options
        Of ``nn.fit``, but for ``loss``: batch_size, optimizer, schedule, validation, checkpoint, seed... With a
        checkpoint it goes on exactly where it was.

    Returns
    -------
    History
        The loss is that of both terms (of the second, the cross-entropy), the accuracy the share of the labelled and
        perturbed samples that get their label or their clean sample's class.

    Raises
    ------
    TypeError, ValueError
        As nn.fit; if a setting is out of range, a class has no label or there is a loss among the options.

    Notes
    -----
    Differs from the paper: the clean probabilities and r are taken in evaluation mode, and r is not clipped to a box.
    The default xi is the paper's 1e-6 no more: float32 rounds most of such a step away, while from 1e-4 to 0.1 the
    direction hardly changes.
    """
    if "loss" in options:
        raise TypeError("loss must not be given: it is cross-entropy plus the divergence of perturbed samples")
    network = _check.instance("network", network, nn.Network)
    samples = _check.array("x", x, dtype=network.dtype, min_ndim=2)
    classes = network.output_shape(samples.shape[1:])[-1]
    labels = _check.integers("y", y, shape=(len(samples),), minimum=0, maximum=classes - 1)
    _check.every_class("y", labels, classes)
    _check.finite("x", samples)
    inner = VirtualAdversary(samples, labels, eps, xi, power_iterations, weight, labelled_batch)
    everything = samples
    if unlabelled is not None:
        free = _check.array("unlabelled", unlabelled, dtype=network.dtype, shape=(None, *samples.shape[1:]))
        _check.finite("unlabelled", free)
        everything = np.concatenate([samples, free])
    unknown = np.zeros(len(everything), np.int64)  # the targets are the inner problem's
    return nn.fit(network, everything, unknown, epochs=epochs, perturb=inner, **options)


@dataclass(frozen=True)
class VirtualAdversary:
    """Labelled samples and a perturbed batch to train on, for ``nn.fit(perturb=)``. Arguments as above."""

    x: Array
    y: NDArray[np.int64]
    eps: float
    xi: float = 0.1
    power_iterations: int = 1
    weight: float = 1.0
    labelled_batch: int = 64

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check.real("eps", self.eps, minimum=0.0)
        _check.real("xi", self.xi, above=0.0)
        _check.integer("power_iterations", self.power_iterations, minimum=1)
        _check.real("weight", self.weight, above=0.0)
        _check.integer("labelled_batch", self.labelled_batch, minimum=1)

    def __call__(self, network: nn.Network, batch: nn.Batch) -> tuple[Array, Array]:
        """Return samples and soft labels, whose sizes make the mean over both the sum of the terms' means."""
        rng = np.random.default_rng((batch.seed, batch.epoch, int(batch.samples[0])))
        chosen = rng.permutation(len(self.x))[: self.labelled_batch]
        logits = network.logits(batch.x)
        perturbed = batch.x + self.perturbation(network, batch, logits)
        known = np.zeros((len(chosen), logits.shape[1]), logits.dtype)
        count = len(chosen) + len(perturbed)
        known[np.arange(len(chosen)), self.y[chosen]] = count / len(chosen)
        clean = ops.softmax(logits) * logits.dtype.type(self.weight * count / len(perturbed))
        return np.concatenate([self.x[chosen], perturbed]), np.concatenate([known, clean])

    def perturbation(self, network: nn.Network, batch: nn.Batch, logits: Array) -> Array:
        """Return r for every sample of a batch with these logits, (B, ...)."""
        x = batch.x
        clean = ops.softmax(logits.astype(np.float64))

        def divergence_ascent(moved: Array) -> Array:
            return (ops.softmax(moved.astype(np.float64)) - clean).astype(moved.dtype)

        direction = _random.normal(batch.seed, batch.samples, batch.epoch, x[0].size).reshape(x.shape)
        for _ in range(self.power_iterations):
            moved = x + _of_length(direction, self.xi).astype(x.dtype)
            direction = network.value_and_vjp(moved, divergence_ascent)[1].astype(np.float64)
        r: Array = _of_length(direction, self.eps).astype(x.dtype)
        return r


def _of_length(rows: Array, length: float) -> Array:
    """Scale each sample to this L2 length; zeros stay."""
    norms = np.linalg.norm(rows.reshape(len(rows), -1), axis=1).reshape(-1, *(1,) * (rows.ndim - 1))
    scaled: Array = rows * (length / np.where(norms > 0, norms, 1))
    return scaled
