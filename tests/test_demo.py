"""The demonstration end to end, on settings that take seconds, and its figures and files by themselves."""

import base64
import csv
import gzip
import io
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

import advcore
from advcore._demo import figures
from advcore._demo.settings import Settings
from advcore._files import check_writable, write
from advcore.cli import main

PACKAGES = Path(advcore.__file__).parents[1]  # `python -c` looks in the current folder first: not in the source tree


def demo(*arguments):
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two quick runs with one seed. One thread each: tests run side by side."""
    folder, threads = tmp_path_factory.mktemp("demo"), advcore.get_num_threads()
    options = ("--quick", "--seed", 3, "--threads", 1)
    yield [(demo(*options, "--output", folder / name), folder / name) for name in ("one", "two")]
    advcore.set_num_threads(threads)


@pytest.fixture(scope="module")
def numbers(runs):
    _, folder = runs[0]
    return json.loads((folder / "results.json").read_text())


def without_seconds(value):
    if isinstance(value, dict):
        return {name: without_seconds(part) for name, part in value.items() if name != "seconds"}
    return [without_seconds(part) for part in value] if isinstance(value, list) else value


def test_prints_the_table_and_writes_three_files(runs):
    result, folder = runs[0]
    assert result.exit_code == 0, result.output
    for text in ("CNN", "GRU", "FGSM", "PGD", "ZOO", "AUC", "upper bound"):
        assert text in result.output
    assert sorted(file.name for file in folder.iterdir()) == ["report.html", "results.csv", "results.json"]


def test_one_seed_gives_the_same_numbers_but_for_times(runs):
    one, two = (json.loads((folder / "results.json").read_text()) for _, folder in runs)
    assert without_seconds(one) == without_seconds(two)
    times = [row["seconds"] for row in one["attacks"] + one["models"]]
    assert min(times) > 0


def test_numbers_belong_together(numbers):
    settings = numbers["settings"]
    assert settings["seed"] == 3
    assert len(numbers["attacks"]) == 2 * (2 * len(settings["eps"]) + 1)
    for row in numbers["attacks"]:
        counts = [row[name] for name in ("misclassified", "success", "failed", "masked")]
        assert sum(counts) == row["images"]
        assert row["accuracy_under_attack"] == pytest.approx((row["failed"] + row["masked"]) / row["images"])
        assert row["accuracy_under_attack"] <= row["clean_accuracy"]
        assert row["mean_queries"] >= 1
        if row["eps"] is not None and row["mean_linf"] is not None:
            assert row["mean_linf"] <= row["eps"] * (1 + 1e-6)
        if row["lid_auc"] is not None:
            assert 0 <= row["lid_auc"] <= 1
            assert 0 <= row["lid_undetected_by_an_attack_that_knows_it"] <= 1
    assert any(row["lid_auc"] is not None for row in numbers["attacks"])
    for model in numbers["models"]:
        assert model["test_accuracy"] > 0.85


def test_pgd_is_at_least_as_strong_as_fgsm_at_the_largest_budget(numbers):
    largest = max(numbers["settings"]["eps"])
    for model in ("CNN", "GRU"):
        accuracy = {
            row["attack"]: row["accuracy_under_attack"]
            for row in numbers["attacks"]
            if row["model"] == model and row["eps"] == largest
        }
        assert accuracy["pgd"] <= accuracy["fgsm"]


def test_csv_is_the_table_of_attacks(runs, numbers):
    _, folder = runs[0]
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(numbers["attacks"])
    for row, expected in zip(rows, numbers["attacks"], strict=True):
        assert row["attack"] == expected["attack"]
        assert float(row["accuracy_under_attack"]) == expected["accuracy_under_attack"]
        assert row["eps"] == ("" if expected["eps"] is None else str(expected["eps"]))


def test_page_has_every_section_and_needs_no_other_file(runs):
    _, folder = runs[0]
    page = (folder / "report.html").read_text(encoding="utf-8")
    for section in ("results", "accuracy", "examples", "detection", "configuration"):
        assert f'<section id="{section}">' in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) >= 2 + 2 + 1
    for source in sources:
        assert decoded(source.removeprefix("data:image/png;base64,")).std() > 0
    assert page.count("<img ") == len(sources) == page.count('alt="')
    assert "http" not in page
    assert "upper bound" in page


def decoded(png):
    return imread(io.BytesIO(base64.b64decode(png, validate=True)), format="png")


def test_output_folder_is_checked_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    result = demo("--output", tmp_path / "file" / "report")
    assert result.exit_code == 1
    assert f"cannot write to the folder {tmp_path / 'file' / 'report'}" in result.output
    assert "Traceback" not in result.output


def test_missing_data_folder(tmp_path):
    result = demo("--data", tmp_path / "nowhere", "--output", tmp_path / "report")
    assert result.exit_code == 1
    assert "nowhere" in result.output


def test_truncated_data_file(tmp_path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 2) + bytes(2))
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 2, 4, 4) + bytes(31))
    result = demo("--data", tmp_path, "--output", tmp_path / "report")
    assert result.exit_code == 1
    assert "train-images-idx3-ubyte" in result.output


def test_reads_idx_files_and_shows_pictures_of_any_size(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 40)):
        labels = rng.integers(0, 3, count).astype(np.uint8)
        images = rng.integers(0, 60, (count, 6, 9)).astype(np.uint8)
        images[np.arange(count), :, 3 * labels] += 180  # a bright column tells the class
        header = struct.pack(">IIII", 0x803, count, 6, 9)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels.tobytes())
        with gzip.open(tmp_path / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + images.tobytes())
    tiny = Settings(train_updates=40, eps=(0.0, 0.4), pgd_steps=3, pgd_restarts=1, zoo_images=2, zoo_steps=5)
    monkeypatch.setattr(Settings, "quick", lambda seed: tiny)
    result = demo("--quick", "--data", tmp_path, "--output", tmp_path / "report")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "report" / "results.json").read_text())
    assert found["data"] == {
        "name": tmp_path.name,
        "classes": 3,
        "image_shape": [1, 6, 9],
        "train_images": 200,
        "test_images": 40,
    }


def test_quick_settings_are_smaller():
    quick, full = Settings.quick(5), Settings(5)
    assert quick.seed == 5
    for name in ("train_updates", "attacked_images", "pgd_steps", "zoo_images", "zoo_steps"):
        assert getattr(quick, name) < getattr(full, name)
    assert Settings(train_updates=100, batch_size=10).epochs(200) == 5
    assert Settings(train_updates=1).epochs(10**6) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_image_grid_takes_grey_and_coloured_images(channels):
    clean = np.linspace(0, 1, channels * 20, dtype=np.float32).reshape(channels, 4, 5)
    picture = decoded(figures.image_grid([figures.Pair(clean, 1 - clean, 2, 7), figures.Pair(clean, clean, 2, 2)]))
    assert picture.ndim == 3


def test_figures_leave_pyplot_alone():
    import subprocess
    import sys

    code = "import sys, advcore._demo; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGES)
    assert done.stdout.strip() == "False"


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    file = tmp_path / "file"
    write(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write(file, "new\ud800")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_check_writable_makes_the_folder(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
