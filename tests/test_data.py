"""Data sets: what is loaded, and every way in which a file can be damaged."""

import gzip
import os
import struct

import numpy as np
import pytest

from advcore import data

MNIST = os.environ.get("ADVCORE_MNIST")
needs_mnist = pytest.mark.skipif(not MNIST, reason="ADVCORE_MNIST names no folder")
RNG = np.random.default_rng(0)


def packed(array, magic=None):
    header = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = {"train": RNG.integers(0, 256, (7, 5, 4), np.uint8), "t10k": RNG.integers(0, 256, (3, 5, 4), np.uint8)}
LABELS = {"train": np.array([0, 1, 2, 3, 0, 1, 2], np.uint8), "t10k": np.array([2, 0, 1], np.uint8)}


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(packed(IMAGES[part]))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(packed(LABELS[part])))
    return tmp_path


def check(dataset):
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.ndim == 4
        assert len(x) == len(y)
        assert x.flags.c_contiguous
        assert 0 <= x.min() <= x.max() <= 1
        assert 0 <= y.min() <= y.max() < dataset.classes
    assert dataset.input_shape == dataset.x_train.shape[1:]


def test_digits():
    digits = data.digits()
    check(digits)
    assert (digits.x_train.shape, digits.x_test.shape, digits.classes) == ((1437, 1, 8, 8), (360, 1, 8, 8), 10)
    assert np.bincount(digits.y_test).min() >= 34
    np.testing.assert_array_equal(digits.x_test, data.digits().x_test)
    everything = np.concatenate([digits.x_train, digits.x_test]).reshape(1797, -1)
    assert len(np.unique(everything, axis=0)) == 1797  # no image on both sides


def test_idx(folder):
    dataset = data.idx(str(folder))
    check(dataset)
    assert (dataset.name, dataset.classes) == (folder.name, 4)
    np.testing.assert_array_equal(dataset.x_train[:, 0], IMAGES["train"] / np.float32(255))
    np.testing.assert_array_equal(dataset.y_test, LABELS["t10k"])


@needs_mnist
def test_mnist():
    mnist = data.idx(MNIST)
    check(mnist)
    assert (mnist.x_train.shape, mnist.x_test.shape, mnist.classes) == ((60000, 1, 28, 28), (10000, 1, 28, 28), 10)
    np.testing.assert_array_equal(mnist.y_train[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])


def test_missing_files_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder must be a directory with IDX files, got .*nowhere"):
        data.idx(tmp_path / "nowhere")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte is missing"):
        data.idx(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header of 16 bytes expected, got 0 bytes"),
        (packed(IMAGES["train"])[:15], "header of 16 bytes expected, got 15 bytes"),
        (packed(IMAGES["train"])[:-1], r"the header \(7, 5, 4\) tells of 140 bytes, got 139"),
        (packed(IMAGES["train"]) + b"\0", "tells of 140 bytes, got more"),
        (packed(IMAGES["train"], bytes([0, 0, 8, 1])), "magic number 00000803 expected, got 00000801"),
        (packed(IMAGES["train"], bytes([0, 0, 13, 3])), "magic number 00000803 expected, got 00000d03"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "larger than the 8589934592 bytes that are read"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 0, 2**32 - 1), "larger than the 8589934592 bytes"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**16, 2**8, 2**8), "tells of 4294967296 bytes, got 0"),
        (packed(IMAGES["train"][:6]), "6 labels expected, one an image, got 7"),
        (packed(IMAGES["train"][:, :4]), r"training images are \(4, 4\) pixels, test images \(5, 4\)"),
    ],
)
def test_damaged_files_are_named(folder, content, message):
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        data.idx(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("part", [slice(0, 0), slice(0, 5), slice(0, 25), slice(0, -1), slice(3, None)])
def test_damaged_compression_is_named(folder, part):
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[part])
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz"):
        data.idx(folder)


def test_flipped_bits_in_compression_are_noticed(folder):
    path = folder / "train-labels-idx1-ubyte.gz"
    good = path.read_bytes()
    for at in range(10, len(good)):  # after the header of gzip
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(ValueError, match="train-labels"):
            data.idx(folder)


@pytest.mark.parametrize("shape", [(6, 2, 5, 4), (6, 5, 4), (6, 20)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_npz(tmp_path, shape, dtype):
    x = RNG.integers(0, 256, shape).astype(np.uint8) if dtype == np.uint8 else RNG.random(shape).astype(dtype)
    y = np.array([0, 1, 2, 0, 1, 2], np.int16)
    np.savez(tmp_path / "some.npz", x=x, y=y, x_test=x[:4], y_test=y[:4])
    dataset = data.npz(tmp_path / "some.npz")
    check(dataset)
    scaled = x / np.float32(255) if dtype == np.uint8 else x.astype(np.float32)
    np.testing.assert_array_equal(dataset.x_train.reshape(shape), scaled)
    np.testing.assert_array_equal(dataset.y_test, y[:4])
    assert (dataset.name, dataset.classes) == ("some", 3)
    assert dataset.input_shape == {4: (2, 5, 4), 3: (1, 5, 4), 2: (1, 1, 20)}[len(shape)]


def test_npz_without_test_part(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=RNG.random((3, 4, 4)), y=np.arange(3))
    dataset = data.npz(tmp_path / "a.npz")
    assert dataset.x_test.shape == (0, 1, 4, 4)
    assert dataset.y_test.shape == (0,)


X, Y = RNG.random((4, 3, 3)), np.arange(4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, r"array y expected, got \['x'\]"),
        ({"x": X, "y": Y, "x_test": X}, "x_test and y_test belong together"),
        ({"x": X, "y": Y[:3]}, r"y must have shape \(4,\), got \(3,\)"),
        ({"x": X, "y": Y - 1}, r"y must be in \[0, "),
        ({"x": X, "y": Y / 2}, "y must be integers, got float64"),
        ({"x": X * 255, "y": Y}, r"x must be in \[0, 1\]"),
        ({"x": X * np.nan, "y": Y}, "x must be finite.*sample 0"),
        ({"x": X * 1e300, "y": Y}, r"x must be in \[0, 1\], got \[.*e\+299\]"),
        ({"x": X > 0.5, "y": Y}, "x must be floating point or uint8, got bool"),
        ({"x": X[0, 0], "y": Y[:3]}, r"x must have shape \(N, C, H, W\), \(N, H, W\) or \(N, features\), got \(3,\)"),
        ({"x": X, "y": Y, "x_test": X[:, 1:], "y_test": Y}, r"x_test must have images \(1, 3, 3\) like x"),
        ({"x": np.array([{}, {}]), "y": Y[:2]}, "not a readable .npz file of plain arrays"),
    ],
)
def test_bad_npz_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message) as error:
        data.npz(tmp_path / "bad.npz")
    assert "bad.npz" in str(error.value)


@pytest.mark.parametrize("size", [0, 3, 50, 400, -30])
def test_truncated_npz_is_refused(tmp_path, size):
    np.savez(tmp_path / "good.npz", x=X, y=Y)
    (tmp_path / "bad.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:size])
    with pytest.raises(ValueError, match=r"bad\.npz: not a readable"):
        data.npz(tmp_path / "bad.npz")


def test_other_files_are_not_npz(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        data.npz(tmp_path / "nowhere.npz")
    np.save(tmp_path / "plain.npy", X)
    with pytest.raises(ValueError, match=r"plain\.npy: not a readable \.npz file"):
        data.npz(tmp_path / "plain.npy")
