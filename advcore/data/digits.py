"""The digits that come with scikit-learn: no download."""

from __future__ import annotations

import numpy as np

from advcore.data.dataset import Dataset

_TEST_SHARE = 0.2
_SPLIT_SEED = 0


def digits() -> Dataset:
    """Load 1797 handwritten digits of 8 x 8 pixels, split 1437 to 360 with every class in proportion.

    The split is always the same.

    Returns
    -------
    Dataset
        x_train (1437, 1, 8, 8), x_test (360, 1, 8, 8), 10 classes.

    References
    ----------
    Alpaydin, Kaynak: Optical recognition of handwritten digits. UCI machine learning repository (1998).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(
        x, labels.astype(np.int64), test_size=_TEST_SHARE, random_state=_SPLIT_SEED, stratify=labels
    )
    return Dataset(x_train, y_train, x_test, y_test, name="digits", classes=10)
