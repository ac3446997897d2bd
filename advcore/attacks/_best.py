"""The best example of each sample so far, kept outside the algorithms: it survives whatever ends them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks.result import distance


class Best:
    """Keeps, for each sample, the largest margin; or the successful example of the smallest distance.

    Parameters
    ----------
    x : array, (n, ...)
        The inputs, which stand in until something better is offered.
    minimise : None, "l0", "l1", "l2" or "linf"
        The distance to keep small; None keeps the largest margin.

    Attributes
    ----------
    examples : array, (n, ...)
    met : bool array, (n,)
        Samples for which an example that meets the criterion has been offered.
    distance : float64 array, (n,)
        Of the example in the norm to minimise; infinity where there is none.
    margin : float64 array, (n,)
        Largest margin past the decision boundary so far (without a norm to minimise).
    """

    def __init__(self, x: Array, minimise: str | None) -> None:
        self.origin, self.minimise = x, minimise
        self.examples = x.copy()
        self.met = np.zeros(len(x), np.bool_)
        self.distance = np.full(len(x), np.inf)
        self.margin = np.full(len(x), -np.inf)

    def offer(self, x: Array, met: NDArray[np.bool_], margin: NDArray[np.float64], index: Index) -> None:
        """Take x[i], an example of sample index[i], where it is better than what there is. Samples may repeat."""
        if self.minimise is None:
            # What meets the criterion with a margin of zero (equal logits) beats what does not.
            (better,) = np.nonzero((margin > self.margin[index]) | (met & ~self.met[index]))
            better = better[np.lexsort((margin[better], met[better]))]  # of one sample's, the last one stays
            self.margin[index[better]] = margin[better]
        else:
            (better,) = np.nonzero(met)
            length = distance(x[met], self.origin[index[met]], self.minimise)
            nearer = length < self.distance[index[met]]
            order = np.argsort(-length[nearer], kind="stable")
            better = better[nearer][order]
            self.distance[index[better]] = length[nearer][order]
        self.examples[index[better]] = x[better]
        self.met[index[met]] = True
