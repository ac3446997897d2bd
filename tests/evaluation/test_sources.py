"""DATA as it is named on a command line: images of more bits, folders without any, labels without a class."""

import numpy as np
import pytest
from PIL import Image

import advcore
from advcore.evaluation import sources


@pytest.fixture
def folder(tmp_path):
    """Two classes of three images each, brighter by their place."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for place in range(3):
            Image.fromarray(np.full((4, 4), 10 * place + (name == "b"), np.uint8)).save(
                tmp_path / name / f"{place}.png"
            )
    return tmp_path


@pytest.mark.parametrize("name", ["0.png", "0.tif"])
def test_sixteen_bits_are_as_good_as_eight(folder, tmp_path, name):
    grey = np.arange(16).reshape(4, 4)
    for kind, bits, largest in (("eight", np.uint8, 255), ("sixteen", np.uint16, 65535)):
        for label in ("a", "b"):
            (tmp_path / kind / label).mkdir(parents=True)
            Image.fromarray((grey * (largest // 15)).astype(bits)).save(tmp_path / kind / label / name)
    eight, sixteen = (sources.samples(str(tmp_path / kind)).x for kind in ("eight", "sixteen"))
    assert eight.dtype == sixteen.dtype == np.float32
    np.testing.assert_allclose(sixteen, eight, atol=1e-6)
    np.testing.assert_allclose(eight[0, 0], grey / 15, atol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_without_a_known_range_are_refused(folder, kind):
    Image.fromarray(np.ones((4, 4), kind)).save(folder / "b" / "3.tif")
    with pytest.raises(ValueError, match=r"3\.tif must have pixels of 8 or 16 bits, whose range is known, got mode"):
        sources.samples(str(folder))


def test_images_of_other_bits_are_refused(folder):
    Image.fromarray(np.ones((4, 4), np.uint16)).save(folder / "b" / "3.png")
    with pytest.raises(ValueError, match=r"one size and kind, got \(1, 4, 4\), uint16, for .*3\.png, .* uint8, before"):
        sources.samples(str(folder))


def test_a_folder_without_images_moves_no_labels(folder):
    (folder / "0_empty").mkdir()
    with pytest.raises(ValueError, match="0_empty has no images, but would be a class"):
        sources.samples(str(folder))


def test_a_part_of_a_folder_has_images_of_each_class(folder):
    whole, part = sources.samples(str(folder)), sources.samples(str(folder), 3)
    assert whole.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert part.y.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(part.x, whole.x[[0, 1, 3]])


def test_a_label_that_the_model_has_no_class_for_is_named(plain, x, y):
    y = y.copy()
    y[[5, 30]] = 57
    with pytest.raises(ValueError, match="y must be among the model's 10 classes, 0 to 9, got 57 for sample 5"):
        advcore.evaluate(plain, x, y, norm="linf", eps=0.1, attacks=["pgd"])
