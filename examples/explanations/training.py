"""Training of sentences: the relevance loss, and the discriminative loss of sentences that the model samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check, nn, ops
from advcore.nn.optimizers import clip_gradients

from .model import WORDS, Condition, Explainer
from .sentences import END, ending_last


class Captions(NamedTuple):
    """Sentences, a row each, with what they are about."""

    numbers: NDArray[np.int64]  # (N, STEPS) words
    image: NDArray[np.int64]  # (N,) rows of the condition
    label: NDArray[np.int64]  # (N,) classes


class Discriminative(NamedTuple):
    """The discriminative loss: ``-weight E[R(w)]`` over sampled sentences w, R the classifier's p(class | w)."""

    classifier: nn.Network  # of sentences that end last; frozen
    weight: float


def sentence_classifier(
    captions: Captions, classes: int, hidden: int, *, epochs: int, batch_size: int = 64, seed: int = 0
) -> nn.Network:
    """Train an LSTM that says which class a sentence is about."""
    layers = (nn.Linear(WORDS, hidden, bias=False), nn.LSTM(hidden, hidden, output="last"), nn.Dropout(0.3))
    network = nn.Sequential(*layers, nn.Linear(hidden, classes), seed=seed)
    options = {"optimizer": nn.Adam(1e-2), "schedule": "cosine", "clip_norm": 5.0, "seed": seed}
    nn.fit(network, ending_last(captions.numbers), captions.label, epochs=epochs, batch_size=batch_size, **options)
    return network


def train(
    explainer: Explainer,
    captions: Captions,
    condition: Condition,
    *,
    epochs: int,
    lr: float,
    batch_size: int = 64,
    discriminative: Discriminative | None = None,
    seed: int = 0,
) -> list[float]:
    """Train an explainer with Adam and a cosine schedule; return every epoch's mean loss, or mean reward.

    Minimises the relevance loss ``L_R = -1/N sum_n sum_t log p(w_t | w_0..t-1, I, C)``. With ``discriminative`` the
    second half of every batch is sampled from the model, and the gradient is that of
    ``L_R - weight (R(w) - mean R) log p(w | I, C)``, the batch's mean reward taken off to calm it.

    References
    ----------
    Hendricks et al.: Generating visual explanations. ECCV 2016, equations 2 to 5.
    Williams: Simple statistical gradient-following algorithms. Machine Learning 8 (1992).
    """
    epochs = _check.integer("epochs", epochs, minimum=1)
    batch_size = _check.integer("batch_size", batch_size, minimum=2)
    if discriminative is not None:
        _check.real("weight", discriminative.weight, above=0.0)
    rng = np.random.default_rng(_check.integer("seed", seed, minimum=0))
    optimizer, parameters = nn.Adam(lr), explainer.network.parameters()
    batches = len(captions.numbers) // batch_size
    if batches == 0:
        raise ValueError(f"there must be at least {batch_size} sentences, got {len(captions.numbers)}")
    history = []
    for epoch in range(epochs):
        order, values = rng.permutation(len(captions.numbers)), []
        for batch in range(batches):
            rows = order[batch * batch_size : (batch + 1) * batch_size]
            about = condition.take(captions.image[rows])
            numbers, weights = captions.numbers[rows], np.ones(batch_size)
            if discriminative is not None:
                half = batch_size // 2
                sampled = explainer.generate(about.take(np.arange(half, batch_size)), rng)
                rewards = reward(discriminative.classifier, sampled, captions.label[rows[half:]])
                numbers = np.concatenate([numbers[:half], sampled])
                weights[half:] = discriminative.weight * (rewards - rewards.mean())
                values.append(float(rewards.mean()))
            logits, saved = explainer.network.forward(explainer.inputs(numbers, about))
            losses, gradient = sentence_loss(logits, numbers, weights)
            if discriminative is None:
                values.append(float(losses.mean()))
            _, gradients = explainer.network.backward(saved, gradient, need_input=False, need_parameters=True)
            clip_gradients(gradients, 5.0)
            share = (epoch * batches + batch) / (epochs * batches)
            optimizer.step(parameters, gradients, (1 + np.cos(np.pi * share)) / 2)
            explainer.network.parameters_changed()
        history.append(float(np.mean(values)))
    return history


def reward(classifier: nn.Network, numbers: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return R(w) = p(class | w) of sentences (N, STEPS) for classes (N,)."""
    probabilities = ops.softmax(classifier.logits(ending_last(numbers)).astype(np.float64))
    return probabilities[np.arange(len(label)), label]


def sentence_loss(
    logits: NDArray[np.float32], numbers: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each sentence's ``-log p(w)`` up to its full stop, (N,), and the weighted mean's gradient."""
    n, steps, words = logits.shape
    losses, gradient = nn.losses.cross_entropy(logits.reshape(-1, words), numbers.reshape(-1))
    counted = np.cumsum(numbers == END, axis=1) - (numbers == END) == 0  # the first full stop is the last word
    scale = counted * (weights / n)[:, np.newaxis]
    return (losses.reshape(n, steps) * counted).sum(axis=1), gradient.reshape(logits.shape) * scale[
        :, :, np.newaxis
    ].astype(logits.dtype)
