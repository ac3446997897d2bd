"""The scripts in examples/, in their quick form, and (slow) on MNIST with what the documentation says of them."""

import json
import os
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
MNIST = os.environ.get("ADVCORE_MNIST")


@pytest.fixture
def example(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    return lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_both_classifiers_learn_from_rows_of_pixels(example, tmp_path):
    results = example("sequence_learning")(["--quick", "--output", str(tmp_path)])
    assert json.loads((tmp_path / "sequence_learning.json").read_text()) == results
    assert (tmp_path / "sequence_learning.png").stat().st_size > 1000
    for measured in results["models"].values():
        assert measured["test_accuracy"][-1] >= 0.8


def test_batch_normalisation_is_ahead_on_permuted_pixels(example, tmp_path):
    study = example("permuted_pixels")
    study(["--quick", "--output", str(tmp_path), "--seeds", "0", "--models", "LSTM"])
    results = study(["--quick", "--output", str(tmp_path), "--seeds", "0"])  # goes on where it was left
    assert json.loads((tmp_path / "permuted_pixels.json").read_text()) == results
    assert len(list(tmp_path.glob("permuted_pixels_*.png"))) == 3
    lstm, normalised = (results["runs"][f"{model}, seed 0"] for model in ("LSTM", "BatchNormLSTM"))
    assert normalised["training_loss"][-1] < lstm["training_loss"][-1] - 0.3
    assert normalised["longer"]["black"][0] == normalised["test_accuracy"][-1]
    small, large = (results["gradient_norms"][gamma]["norms"] for gamma in ("0.1", "1.0"))
    assert 0.1 < small[0] / small[-1] < 10  # at gamma 1 gradients explode
    assert large[0] / large[-1] > 50


@pytest.mark.parametrize("name", ["sequence_learning", "permuted_pixels"])
def test_a_folder_or_quick_is_asked_for(example, name, tmp_path, capsys):
    with pytest.raises(SystemExit):
        example(name)(["--output", str(tmp_path)])
    assert "give the folder with MNIST's files, or --quick" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not MNIST, reason="ADVCORE_MNIST names no folder")
def test_rows_of_mnist_in_three_epochs(example, tmp_path):
    results = example("sequence_learning")([MNIST, "--output", str(tmp_path)])
    for measured in results["models"].values():
        assert measured["test_accuracy"][-1] >= 0.975
