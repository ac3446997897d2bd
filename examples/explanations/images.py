"""Images of coloured shapes in fine-grained classes, on backgrounds that no class depends on."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check

SIDE = 24
SHAPES = ("circle", "triangle", "square")
COLOURS = {
    "red": (0.85, 0.15, 0.15),
    "brown": (0.65, 0.35, 0.1),
    "blue": (0.15, 0.25, 0.85),
    "purple": (0.45, 0.2, 0.8),
}
SIZES = {"small": 3.4, "large": 5.2}  # radius in pixels
POSITIONS = {"above": -1, "below": 1}  # of the white dot beside the shape
BACKGROUNDS = {"grey": (0.5, 0.5, 0.5), "green": (0.35, 0.6, 0.35), "yellow": (0.75, 0.7, 0.35)}
TEXTURES = ("plain", "striped")

OF_CLASS = {"shape": SHAPES, "colour": tuple(COLOURS), "size": tuple(SIZES), "position": tuple(POSITIONS)}
OF_IMAGE = {"background": tuple(BACKGROUNDS), "texture": TEXTURES}
ATTRIBUTES = OF_CLASS | OF_IMAGE
Attributes = dict[str, str]


class Scenes(NamedTuple):
    """Images with their classes and with what there is to see in them."""

    x: NDArray[np.float32]  # (N, 3, SIDE, SIDE), in [0, 1]
    y: NDArray[np.int64]  # (N,)
    seen: list[Attributes]  # a value for every one of ATTRIBUTES


def species(shapes: int, colours: int) -> list[Attributes]:
    """Return the classes: every combination of so many shapes and colours with the sizes and positions."""
    shapes = _check.integer("shapes", shapes, minimum=1, maximum=len(SHAPES))
    colours = _check.integer("colours", colours, minimum=1, maximum=len(COLOURS))
    values = (SHAPES[:shapes], tuple(COLOURS)[:colours], SIZES, POSITIONS)
    return [dict(zip(OF_CLASS, chosen, strict=True)) for chosen in itertools.product(*values)]


def draw_scenes(classes: list[Attributes], per_class: int, *, noise: float, seed: int) -> Scenes:
    """Draw images of every class, with sizes and colours that vary and Gaussian noise of a standard deviation."""
    per_class = _check.integer("per_class", per_class, minimum=1)
    noise = _check.real("noise", noise, minimum=0.0)
    rng = np.random.default_rng(_check.integer("seed", seed, minimum=0))
    y = np.repeat(np.arange(len(classes)), per_class)
    seen = [
        classes[label] | {name: values[rng.integers(len(values))] for name, values in OF_IMAGE.items()} for label in y
    ]
    x = np.stack([_draw(attributes, rng) for attributes in seen])
    x += noise * rng.standard_normal(x.shape)
    return Scenes(x.clip(0, 1).astype(np.float32), y, seen)


def _draw(attributes: Attributes, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return one image without noise, (3, SIDE, SIDE)."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    image = np.empty((3, SIDE, SIDE))
    image[:] = np.reshape(BACKGROUNDS[attributes["background"]], (3, 1, 1))
    if attributes["texture"] == "striped":
        image += 0.12 * np.sign(np.sin(np.pi * (rows + columns + rng.integers(6)) / 3))
    radius = SIZES[attributes["size"]] + rng.uniform(-0.8, 0.8)
    row, column = SIDE / 2 + rng.uniform(-2, 2, 2)
    down, right = rows - row, columns - column
    inside = {
        "circle": np.hypot(down, right) <= radius,
        "square": np.maximum(abs(down), abs(right)) <= 0.9 * radius,
        "triangle": (abs(right) <= (down + radius) / 2) & (down <= radius),
    }[attributes["shape"]]
    colour = np.array(COLOURS[attributes["colour"]]) + rng.uniform(-0.1, 0.1, 3)
    image[:, inside] = colour[:, np.newaxis]
    away = POSITIONS[attributes["position"]] * (radius + 2.5)
    image[:, np.hypot(down - away, right + rng.uniform(-2, 2)) <= 1.5] = 1
    return image
