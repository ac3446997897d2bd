"""The explainer: LSTM1 reads the words so far, LSTM2 reads it together with the image and the class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check, nn, ops

from .sentences import END, STEPS, VOCABULARY, one_hot

WORDS = len(VOCABULARY)


class Condition(NamedTuple):
    """What the sentences of a batch are about."""

    image: NDArray[np.float32]  # (N, F)
    label: NDArray[np.float32]  # (N, K): the classifier's distribution over the classes

    def take(self, rows: NDArray[np.int64]) -> Condition:
        """Return those of some samples."""
        return Condition(self.image[rows], self.label[rows])


class Explainer:
    """A network of sentences: ``LSTM2(LSTM1(words), image features, class)``, and a linear layer over the words.

    Parameters
    ----------
    features, classes : int
        F and K of the conditions.
    hidden : int
        Units of either LSTM, of the words' embedding, and of the image's.
    use_image, use_label : bool
        What it is conditioned on.
    seed : int
        Of the parameters.
    """

    def __init__(
        self, features: int, classes: int, hidden: int, *, use_image: bool, use_label: bool, seed: int
    ) -> None:
        hidden = _check.integer("hidden", hidden, minimum=1)
        self.use_image = _check.flag("use_image", use_image)
        self.use_label = _check.flag("use_label", use_label)
        if not use_image and not use_label:
            raise ValueError("an explainer must be conditioned on the image or the class, got neither")
        layers: dict[str, nn.Layer] = {
            "words": nn.Slice(2, 0, WORDS),
            "embedding": nn.Linear(WORDS, hidden, bias=False),
            "lstm1": nn.LSTM(hidden, hidden),
        }
        parts, width = ["lstm1"], hidden
        if use_image:
            layers |= {"image": nn.Slice(2, WORDS, WORDS + features), "image_embedding": nn.Linear(features, hidden)}
            parts, width = [*parts, "image_embedding"], width + hidden
        if use_label:
            layers["label"] = nn.Slice(2, WORDS + features, WORDS + features + classes)
            parts, width = [*parts, "label"], width + classes
        layers |= {"joined": nn.Concatenate(2), "lstm2": nn.LSTM(width, hidden), "logits": nn.Linear(hidden, WORDS)}
        wiring = {name: ("input",) for name in ("image", "label") if name in layers} | {"joined": tuple(parts)}
        self.network = nn.Network(layers, wiring=wiring, seed=seed)

    def inputs(self, numbers: NDArray[np.int64], condition: Condition) -> NDArray[np.float32]:
        """Return what the network reads, (N, STEPS, words + F + K): at each step the word before and the condition."""
        words = np.zeros((len(numbers), STEPS, WORDS), np.float32)
        words[:, 1:] = one_hot(numbers[:, :-1])  # no word comes before the first
        beside = np.concatenate(condition, axis=1)[:, np.newaxis]
        return np.concatenate([words, np.broadcast_to(beside, (len(words), STEPS, beside.shape[2]))], axis=2)

    def generate(self, condition: Condition, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
        """Write sentences word by word, (N, STEPS), filled up with END.

        Each word is the likeliest one, or with a generator one drawn by its probability.
        """
        weights = self.network.parameters()
        lstm1, lstm2 = (
            [weights[f"{name}.{kind}_l0"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            for name in ("lstm1", "lstm2")
        )
        count = len(condition.image)
        beside = []
        if self.use_image:
            beside.append(
                ops.linear(condition.image, weights["image_embedding.weight"], weights["image_embedding.bias"])
            )
        if self.use_label:
            beside.append(condition.label)
        word = np.zeros((count, WORDS), np.float32)
        state1 = state2 = None
        numbers = np.full((count, STEPS), END)
        going = np.full(count, True)
        for step in range(STEPS):
            state1 = ops.lstm_cell(ops.linear(word, weights["embedding.weight"]), state1, *lstm1)
            state2 = ops.lstm_cell(np.concatenate([state1[0], *beside], axis=1), state2, *lstm2)
            logits = ops.linear(state2[0], weights["logits.weight"], weights["logits.bias"])
            numbers[:, step] = np.where(going, _choose(logits, rng), END)
            going &= numbers[:, step] != END
            if not going.any():
                break
            word = one_hot(numbers[:, step])
        return numbers


def _choose(logits: NDArray[np.float32], rng: np.random.Generator | None) -> NDArray[np.int64]:
    if rng is None:
        return logits.argmax(axis=1)
    below = np.cumsum(ops.softmax(logits.astype(np.float64)), axis=1)
    return np.minimum((below < rng.random(len(logits))[:, np.newaxis]).sum(axis=1), WORDS - 1)
