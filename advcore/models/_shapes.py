"""What builders of networks need to know of shapes."""

from __future__ import annotations

from collections.abc import Sequence

from advcore.nn import Layer


def flat_size(layers: Sequence[Layer], input_shape: Sequence[int]) -> int:
    """Return the number of features that layers ending in Flatten give for a sample of the shape."""
    shape = tuple(input_shape)
    for layer in layers:
        try:
            shape = layer.output_shape(shape)
        except ValueError as error:
            raise ValueError(f"input_shape {tuple(input_shape)} is too small: {layer!r} {error}") from None
    return shape[0]
