"""Random probes in whole batches, for estimates that ask many questions about each sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Draws = list[tuple[int, NDArray[np.int64]]]


def pieces(counts: NDArray[np.int64], rows: int) -> Iterator[Draws]:
    """Share out counts[i] draws of each sample i to pieces of as many rows as fit, all draws 0 first, then all draws 1.

    A piece is a list of pairs: the number of the draw, and the samples (int64 array) that take it. All pieces but the
    last have ``rows`` rows in total.
    """
    piece: Draws = []
    room = rows
    for draw in range(int(counts.max(initial=0))):
        who = np.flatnonzero(counts > draw)
        while len(who):
            piece.append((draw, who[:room]))
            room -= len(piece[-1][1])
            who = who[len(piece[-1][1]) :]
            if not room:
                yield piece
                piece, room = [], rows
    if piece:
        yield piece
