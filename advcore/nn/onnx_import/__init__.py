"""Networks from ONNX files.

``wire`` and ``tensors`` look at the bytes, ``reading`` makes checked nodes of them, ``constants`` computes what does
not depend on the input, ``table`` names a translator an operator, ``builder`` collects the layers, ``assembly`` leads
from one to the next, ``comparison`` runs both.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advcore.nn.network import Network


def from_onnx(
    path_or_bytes: str | os.PathLike[str] | bytes,
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layout: str = "NCHW",
) -> Network:
    """Return the classifier of an ONNX file as a Network. Safe for files from anyone: nothing in them is executed, no
    other file is read, and memory stays in proportion to the file's size.

    The result is compared with the source on random inputs, which onnxruntime runs where it is installed, else onnx
    itself; ``network.imported`` has the largest difference.

    Parameters
    ----------
    path_or_bytes : path or bytes
        A model with one input of float32 or float64, whose first axis is the batch, and one output.
    mean, std : float or sequence of float, optional
        One a channel, or one for all: the network normalises its input first, ``(x - mean) / std``, so that its own
        input, and the budget of an attack, is in units of the pixels. Unless given, 0 and 1.
    layout : "NCHW" or "NHWC"
        What the model takes; the network takes (N, C, H, W) always.

    Returns
    -------
    Network
        In evaluation mode, with the parameters in it; layers have the names of the nodes, or of the weights before
        ".weight".

    Raises
    ------
    ImportError
        If onnx is missing.
    OSError
        If the file cannot be read.
    TypeError
        If an argument, or a tensor, is of the wrong type.
    ValueError
        If the file is damaged, or has something that is not supported: the message names the node, its operator and
        what is supported; or if the outputs differ from the source's.
    """
    try:
        import onnx  # noqa: F401  # says which extra to install where it is missing
    except ImportError as error:
        raise ImportError("from_onnx needs onnx: pip install 'advcore[onnx]'") from error
    from advcore.nn._watch import by_the_network
    from advcore.nn.onnx_import.assembly import assemble

    with by_the_network():
        return assemble(path_or_bytes, mean, std, layout)
