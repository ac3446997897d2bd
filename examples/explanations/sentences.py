"""What people might write below the images: words, reference sentences, sentences as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advcore import _check

from .images import ATTRIBUTES, OF_CLASS, Attributes, Scenes

END = 0  # the full stop, which also fills a sentence up
VOCABULARY = (
    ".",
    *("a", "and", "background", "dot", "has", "is", "it", "of", "on", "sits", "the", "there", "this", "with"),
    *(value for values in ATTRIBUTES.values() for value in values),
)
INDEX = {word: number for number, word in enumerate(VOCABULARY)}
STEPS = 18  # words of the longest sentence, the full stop with them
Sentence = tuple[str, ...]

# How often people mention what they see; every class has one attribute that they dwell on.
MENTIONED = {"colour": 0.5, "size": 0.3, "position": 0.3, "background": 0.6, "texture": 0.3}
DWELT_ON = 0.9


def write_sentences(scenes: Scenes, per_image: int, *, seed: int) -> list[list[Sentence]]:
    """Return so many reference sentences for every image, each saying a part of what there is to see."""
    per_image = _check.integer("per_image", per_image, minimum=1)
    rng = np.random.default_rng(_check.integer("seed", seed, minimum=0))
    return [
        [_sentence(attributes, int(label), rng) for _ in range(per_image)]
        for attributes, label in zip(scenes.seen, scenes.y, strict=True)
    ]


def dwelt_on(label: int) -> str:
    """Return the attribute that people mention most for a class: its colour, size or position."""
    names = [name for name in OF_CLASS if name in MENTIONED]
    return names[label * 7 // 3 % len(names)]


def _sentence(attributes: Attributes, label: int, rng: np.random.Generator) -> Sentence:
    chances = MENTIONED | {dwelt_on(label): DWELT_ON}
    said = {name for name, chance in chances.items() if rng.random() < chance}

    def of(*names: str) -> list[str]:
        return [attributes[name] for name in names if name in said]

    thing = [*of("size", "colour"), attributes["shape"]]
    ground = ["on", "a", *of("texture", "background"), "background"] if {"texture", "background"} & said else []
    dot = ["dot", attributes["position"], "it"] if "position" in said else []
    style = rng.integers(3)
    if style == 0:
        words = ["this", "is", "a", *thing, *(["with", "a", *dot] if dot else []), *ground]
    elif style == 1:
        words = ["there", "is", "a", *thing, *ground, *(["and", "a", *dot] if dot else [])]
    else:
        words = ["the", *thing, *(["has", "a", *dot] if dot else []), *(["and"] if dot and ground else [])]
        words += ["sits", *ground] if ground else []
        words += [] if dot or ground else ["is", "there"]
    return tuple(words)


def encode(sentences: Sequence[Sentence]) -> NDArray[np.int64]:
    """Return the words' numbers, (N, STEPS), filled up with END."""
    numbers = np.full((len(sentences), STEPS), END)
    for row, words in zip(numbers, sentences, strict=True):
        if len(words) > STEPS:
            raise ValueError(f"a sentence must have at most {STEPS} words, got {len(words)}: {' '.join(words)}")
        row[: len(words)] = [INDEX[word] for word in words]
    return numbers


def decode(numbers: NDArray[np.int64]) -> list[Sentence]:
    """Return the words up to the first END of every row."""
    ends = [int(np.argmax(row == END)) if (row == END).any() else len(row) for row in numbers]
    return [tuple(VOCABULARY[number] for number in row[:end]) for row, end in zip(numbers, ends, strict=True)]


def one_hot(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (N, STEPS) numbers as (N, STEPS, words) zeros and ones."""
    return np.eye(len(VOCABULARY), dtype=np.float32)[numbers]


def ending_last(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return sentences as zeros and ones with their first END at the last step, and nothing before they begin."""
    ends = np.where((numbers == END).any(axis=1), (numbers == END).argmax(axis=1), STEPS - 1)
    source = np.arange(STEPS) - (STEPS - 1 - ends)[:, np.newaxis]
    moved = one_hot(np.take_along_axis(numbers, source.clip(0), axis=1))
    moved[source < 0] = 0
    return moved


def claims(sentence: Sentence) -> Attributes:
    """Return the attributes that a sentence speaks of, with the value that it gives them last."""
    return {name: word for word in sentence for name, values in ATTRIBUTES.items() if word in values}
