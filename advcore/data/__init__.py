"""Data sets: images in [0, 1], (N, C, H, W) of float32, and int64 labels."""

from advcore.data.dataset import Dataset
from advcore.data.digits import digits
from advcore.data.idx import idx, read_idx
from advcore.data.npz import npz

__all__ = ["Dataset", "digits", "idx", "npz", "read_idx"]
