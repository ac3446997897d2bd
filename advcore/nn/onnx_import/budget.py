"""Memory that an import may take: in proportion to the file, so that a small one cannot ask for a large machine."""

from __future__ import annotations

import math

from advcore.nn.layer import Shape

FREE_BYTES = 2**26  # what a file of any size may take for computed constants and parameters
BYTES_A_BYTE = 4  # and what each of its bytes adds
MOST_NUMBERS = 2**26  # of one value of one sample


class Budget:
    """Counts the bytes of everything that the import makes from the file."""

    def __init__(self, file_size: int) -> None:
        self.limit = FREE_BYTES + BYTES_A_BYTE * file_size
        self.taken = 0

    def take(self, size: int, itemsize: int = 8) -> None:
        """Note that an array is about to be made, or refuse it."""
        self.taken += size * itemsize
        if self.taken > self.limit:
            raise ValueError(f"the model's constants take over {self.limit} bytes, which its size does not justify")


def check_value(shape: Shape) -> None:
    """Refuse a sample's value that no classifier has."""
    if not all(extent >= 1 for extent in shape):
        raise ValueError(f"a value must not be empty, got {shape} a sample")
    if math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"a value must have at most {MOST_NUMBERS} numbers a sample, got the shape {shape}")
