"""The output of a radial-basis network: a distance a class."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, options_text
from advcore.nn.losses.classification import row_sums


class NegativeDistance(Layer):
    """``y_k = -sum_j |x_kj|^p``: of each class's part of a sample, the distance from 0, negative.

    After a linear layer, which makes ``x_k = A_k f + b_k``, that is the distance of the features f from the class. The
    largest output is the nearest class.

    Parameters
    ----------
    classes : int
        At least 1; a sample has ``classes * units`` numbers, those of a class beside each other.
    p : float
        Power, at least 1.

    References
    ----------
    Habibzadeh, Hosseini, Sra: Deep RBF networks with rejection. arXiv 1812.03190 (2018).
    """

    def __init__(self, classes: int, p: float = 2.0) -> None:
        super().__init__()
        self.classes, self.p = _check.integer("classes", classes, minimum=1), _check.real("p", p, minimum=1.0)

    def __repr__(self) -> str:
        return options_text(self, self.classes, p=(self.p, 2.0))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        size = np.square(x) if self.p == 2 else np.abs(x) if self.p == 1 else np.abs(x) ** x.dtype.type(self.p)
        distances = -row_sums(size.reshape(len(x) * self.classes, self._units(x.shape[1])))
        return distances.reshape(len(x), self.classes)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward: the derivative of |x|^p at 0 is taken as 0."""
        x, power = saved, saved.dtype.type(self.p)
        slope: Any = x if self.p == 2 else np.sign(x)
        if self.p not in (1, 2):
            slope = slope * np.abs(x) ** (power - 1)
        return -power * slope * np.repeat(grad, self._units(x.shape[1]), axis=1), {}

    def _units(self, size: int) -> int:
        return size // self.classes

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        if len(input_shape) != 1 or input_shape[0] == 0 or input_shape[0] % self.classes:
            raise ValueError(f"expected a multiple of {self.classes} numbers a sample, got {input_shape}")
        return (self.classes,)
