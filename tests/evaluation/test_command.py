"""The commands evaluate, train and compare: what they write, and one line for each bad input."""

import json
import struct
import sys
import tomllib

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import advcore
from advcore import attacks
from advcore.cli import main
from advcore.evaluation import dry
from advcore.evaluation.given import Given
from advcore.evaluation.plan import chosen

QUICK = ("--eps", "0.1", "--attacks", "pgd:steps=5", "--checks", "none")


BOMB = b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 1 << 20, 1 << 20, 1, 24, 0) + bytes(20)  # a terapixel, it says
FACTORIES = """
from advcore.nn import Network
network = Network.load({file!r})
def scores():
    return lambda x: network.logits(x)
def nothing():
    return None
def unmade():
    raise RuntimeError("no such weather")
def broken():
    def model(x):
        raise RuntimeError("no such weather")
    return model
"""


@pytest.fixture(autouse=True)
def factories(files, monkeypatch):
    monkeypatch.syspath_prepend(files)


def command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory, plain, x, y):
    """A model and data in all formats."""
    folder = tmp_path_factory.mktemp("files")
    plain.save(folder / "model.safetensors")
    plain.to_onnx(folder / "model.onnx", (1, 8, 8))
    np.savez(folder / "data.npz", x=x[:20], y=y[:20])
    np.savez(folder / "none.npz", x=x[:0], y=y[:0])
    (folder / "factories.py").write_text(FACTORIES.format(file=str(folder / "model.safetensors")))
    np.savez(folder / "wide.npz", x=np.zeros((4, 1, 9, 9), np.float32), y=np.arange(4))
    np.savez(folder / "one.npz", x=x[:4], y=np.zeros(4, np.int64))
    np.savez(folder / "wrong.npz", x=x[:20], y=(y[:20] + 1) % 10)
    np.savez(folder / "nolabels.npz", x=x[:4])
    np.savez(folder / "outside.npz", x=2 * x[:4], y=y[:4])
    for label in range(10):  # folders are classes, by their order
        (folder / "images" / str(label)).mkdir(parents=True)
    for sample in range(40):  # so that no folder stays empty
        place = folder / "images" / str(y[sample])
        Image.fromarray(np.round(255 * x[sample, 0]).astype(np.uint8)).save(place / f"{sample}.png")
    (folder / "loose").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "loose" / "0.png")
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("no model")
    (folder / "damaged.safetensors").write_bytes(b"nothing")
    for name in ("junk.pt2", "junk.onnx"):
        (folder / name).write_bytes(b"\xff\x0b" * 100)
    for label in "01":
        (folder / "bombs" / label).mkdir(parents=True)
        (folder / "bombs" / label / "0.bmp").write_bytes(BOMB)
    return folder


def test_the_files_of_a_run(files, tmp_path):
    arguments = ("--data", files / "data.npz", *QUICK, "--checks", "quick", "--output", tmp_path)
    result = command("evaluate", files / "model.safetensors", *arguments)
    assert result.exit_code == 0, result.output
    for text in ("L∞ ≤ 0.1", "95% interval", "Checklist", "report.html"):
        assert text in result.output
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["complete"]
    assert found["images"] == 20
    assert found["robust"][0]["robust_accuracy"] <= found["accuracy"]["accuracy"]
    assert (tmp_path / "results.csv").read_text().startswith("sample,attack,eps,success")
    page = (tmp_path / "report.html").read_text()
    assert len(page) < 3_000_000
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize("data", ["data.npz", "images"])
@pytest.mark.parametrize("model", ["model.onnx"])
def test_formats_give_the_same_results(files, tmp_path, model, data):
    arguments = ("--data", files / data, *QUICK, "--output", tmp_path)
    result = command("evaluate", files / model, *arguments)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "results.json").read_text())
    source = next(check for check in found["checks"] if "framework" in check["name"])
    assert source["verdict"] == "PASS"
    assert found["accuracy"]["right"] >= 18


@pytest.mark.parametrize("kind", ["float", "uint8", "images"])
def test_pixels_of_another_box_give_the_results_of_theirs(files, tmp_path, x, y, plain, kind):
    """Eps is in the box's units: 25.5 of 255 is .1 of 1."""
    pixels, y = np.round(255 * x[:40]), y[:40]  # as many as there are in the folder of images
    np.savez(tmp_path / "float.npz", x=pixels.astype(np.float32), y=y)
    np.savez(tmp_path / "uint8.npz", x=pixels.astype(np.uint8), y=y)
    data = files / "images" if kind == "images" else tmp_path / f"{kind}.npz"
    arguments = ("--attacks", "fgsm", "--checks", "none", "--output", tmp_path / "out")
    more = ("--data", data, "--bounds", "0,255", "--std", "255", "--eps", "25.5")
    result = command("evaluate", files / "model.safetensors", *arguments, *more)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    fallen = attacks.fgsm(plain, (pixels / 255).astype(np.float32), y, eps=0.1).success.sum()
    assert found["robust"][0]["unbroken"] == 40 - fallen


def test_a_program_of_torch_export(files, tmp_path, plain, x):
    import torch

    program = torch.export.export(
        plain.to_torch(), (torch.from_numpy(x[:2]),), dynamic_shapes=({0: torch.export.Dim("n", min=1)},)
    )
    torch.export.save(program, tmp_path / "model.pt2")
    out = tmp_path / "out"
    result = command("evaluate", tmp_path / "model.pt2", "--data", files / "data.npz", *QUICK, "--output", out)
    assert result.exit_code == 0, result.output
    found = json.loads((out / "results.json").read_text())
    assert next(c for c in found["checks"] if "framework" in c["name"])["verdict"] == "PASS"


def test_a_program_for_one_image_at_a_time_is_told_what_to_do(files, tmp_path, plain, x):
    import torch

    torch.export.save(torch.export.export(plain.to_torch(), (torch.from_numpy(x[:1]),)), tmp_path / "fixed.pt2")
    result = command("evaluate", tmp_path / "fixed.pt2", "--data", files / "data.npz", *QUICK)
    assert "Guard failed" in result.output
    assert "export it for any batch: dynamic_shapes=" in result.output


def test_a_factory_of_a_callable_is_attacked_as_a_black_box(files, tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(
        "from advcore.nn import Network\n"
        f"network = Network.load({str(files / 'model.safetensors')!r})\n"
        "def make():\n    return lambda x: network.logits(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    arguments = (
        "--data",
        files / "data.npz",
        "--eps",
        "0.2",
        "--attacks",
        "square:steps=50",
        "--answers",
        "logits",
        "--checks",
        "none",
    )
    result = command("evaluate", "own_models:make", *arguments, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["settings"]["access"] == "scores"
    assert "The model gives scores alone: it was attacked as a black box." in result.output
    assert "attacked as a black box" in (tmp_path / "out" / "report.html").read_text()


def test_everything_in_a_toml_file(files, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        f'data = "{files / "data.npz"}"\neps = ["8/255", 0.1]\nattacks = "pgd:steps=3"\nseed = 4\nchecks = "none"\n'
        f'output = "{tmp_path / "out"}"\n'
    )
    assert tomllib.loads(config.read_text())["seed"] == 4
    result = command("evaluate", files / "model.safetensors", "--config", config, "--seed", "5")
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "out" / "results.json").read_text())["settings"]
    assert settings["eps"] == [8 / 255, 0.1]
    assert settings["seed"] == 5  # the command line comes first
    config.write_text('attacks = ["pgd:steps=3,restarts=2", "fgsm"]')
    more = ("--data", files / "data.npz", "--eps", "0.1", "--checks", "none", "--output", tmp_path / "list")
    assert command("evaluate", files / "model.safetensors", "--config", config, *more).exit_code == 0
    plan = json.loads((tmp_path / "list" / "results.json").read_text())["settings"]["plan"]
    assert [(entry["attack"], entry["options"]) for entry in plan] == [
        ("pgd", {"steps": 3, "restarts": 2}),
        ("fgsm", {}),
    ]
    config.write_text("epss = 1")
    assert "unknown key 'epss'" in command("evaluate", files / "model.safetensors", "--config", config).output


def test_a_dry_run_attacks_nothing(files, tmp_path):
    arguments = ("--data", files / "data.npz", "--eps", "0.1", "--dry-run", "--output", tmp_path / "out")
    result = command("evaluate", files / "model.safetensors", *arguments)
    assert result.exit_code == 0, result.output
    for text in ("FLOPs", "queries", "APGD-CE", "seconds"):
        assert text in result.output
    assert not (tmp_path / "out").exists()


def test_a_dry_run_is_of_what_the_run_would_do(files):
    more = ("--data", files / "data.npz", "--eps", "0.1", "--attacks", "quick", "--dry-run")
    result = command("evaluate", "factories:scores", *more, "--answers", "logits", "--max-queries", "7")
    assert result.exit_code == 0, result.output
    assert "APGD" not in result.output  # which needs gradients
    assert "Square               20 runs of about 7 queries, 0 gradients" in result.output
    assert "the checks" in result.output


@pytest.mark.parametrize("attack", ["nes", "spsa", "autoattack", "pgd", "fab", "bim", "uniform_noise", "hop_skip_jump"])
def test_a_dry_run_knows_what_attacks_ask(plain, x, y, attack):
    eps = 1e-5
    right = plain.predict(x) == y
    both = np.flatnonzero(right & (y == 9))[0], np.flatnonzero(right & (y < 9))[0]  # 9: all ten classes
    x, y = x[list(both)], y[list(both)]
    planned = chosen([attack])[1][0]
    options = dict.fromkeys(("output", "answers", "randomised", "detector", "source", "max_queries"))
    given = Given.checked(
        plain,
        x,
        y,
        norm="linf",
        eps=eps,
        attacks=[attack],
        seed=0,
        bounds=(0, 1),
        checks=False,
        chunk_size=2,
        **options,
    )
    result = getattr(attacks, attack)(plain, x, y, **planned.arguments("linf", eps))
    queries, gradients = dry._of_attack(given, planned, eps)
    assert queries == pytest.approx(result.queries.mean(), rel=0.1)
    assert gradients == result.gradients.mean()


def test_train_then_compare(files, tmp_path):
    for name, more in (("plain", ()), ("robust", ("--adversarial", "25/255"))):
        model = tmp_path / f"{name}.safetensors"
        result = command("train", files / "data.npz", "--model", "mlp", "--epochs", 8, "--output", model, *more)
        assert result.exit_code == 0, result.output
        assert "training images right" in result.output
        arguments = ("--data", files / "data.npz", *QUICK, "--output", tmp_path / name)
        assert command("evaluate", model, *arguments).exit_code == 0
    result = command("compare", tmp_path / "plain", tmp_path / "robust")
    assert result.exit_code == 0, result.output
    for text in ("plain", "robust", "unattacked", "eps 0.1", "only first"):
        assert text in result.output


def test_training_takes_two_classes_and_a_name_that_evaluate_knows(files, tmp_path, x):
    np.savez(tmp_path / "threes.npz", x=x[:6], y=np.full(6, 3))
    for data, name, line in (
        (tmp_path / "threes.npz", "m.safetensors", "at least two classes, got 6 images of class 3"),
        (files / "data.npz", "m.onnx", "--output must end in .safetensors, got 'm.onnx'"),
    ):
        result = command("train", data, "--model", "mlp", "--epochs", 1, "--output", tmp_path / name)
        assert result.exit_code == 1
        assert line in result.output


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--output", "{folder}"), "is a directory"),
        (("--adversarial", "0.1,0.2"), "must be one number, got 0.1,0.2"),
        (("--config", "{folder}"), "is a directory"),
    ],
)
def test_what_no_training_could_be_saved_from_does_not_begin(files, tmp_path, more, line):
    result = command("train", files / "data.npz", *(part.format(folder=tmp_path) for part in more))
    assert result.exit_code == 2
    assert line in result.output
    assert "epoch" not in result.output


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("model", "data", "more", "line"),
    [
        ("missing.onnx", "data.npz", (), "MODEL: there is no file"),
        ("notes.txt", "data.npz", (), "the format is unknown"),
        ("damaged.safetensors", "data.npz", (), "the file ends before its header"),
        ("model.safetensors", "missing.npz", (), "DATA: there is no file or folder"),
        ("model.safetensors", "notes.txt", (), "DATA must be an .npz file, a folder of IDX files"),
        ("model.safetensors", "wide.npz", (), "cannot be run on the data, of shape (4, 1, 9, 9)"),
        ("model.safetensors", "outside.npz", (), "must be in [0, 1]"),
        ("model.safetensors", "nolabels.npz", (), "array y expected"),
        ("model.safetensors", "loose", (), "images lie in it, but no label"),
        ("model.safetensors", "empty", (), "neither IDX files nor folders of images"),
        ("model.safetensors", "one.npz", (), "at least two classes, got only class 0"),
        ("model.safetensors", "wrong.npz", (), "the model is wrong on all 20 samples"),
        ("model.safetensors", "data.npz", ("--eps", "8/0"), "--eps must be numbers such as 0.1 or 8/255"),
        ("model.safetensors", "data.npz", ("--eps", "0"), "must be greater than 0"),
        ("model.safetensors", "data.npz", ("--eps", "nan"), "eps must be finite, got nan"),
        ("model.safetensors", "data.npz", ("--attacks", "fgm"), "does not work within a budget of norm linf"),
        ("model.safetensors", "none.npz", (), "x must have at least one sample"),
        (
            "factories:broken",
            "data.npz",
            ("--answers", "logits", "--attacks", "square"),
            "RuntimeError: no such weather",
        ),
        ("model.safetensors", "data.npz", ("--attacks", "nosuch"), "attacks must be quick, standard, full, or names"),
        ("model.safetensors", "data.npz", ("--attacks", "pgd:stepz=3"), "pgd has no option 'stepz'"),
        ("model.safetensors", "data.npz", ("--attacks", "pgd:steps=0"), "steps must be at least 1"),
        ("model.safetensors", "data.npz", ("--bounds", "0.2,1"), "x must be in [0.2, 1], got [0, 1]"),
        ("model.safetensors", "data.npz", ("--bounds=-1e308,1e308",), "expected LOW,HIGH that float32 can hold"),
        ("no.module:factory", "data.npz", (), "there is no module no"),
        ("factories:unmade", "data.npz", (), "MODEL factories:unmade cannot be opened: RuntimeError: no such weather"),
        ("junk.pt2", "data.npz", (), "MODEL {folder}/junk.pt2 cannot be opened"),
        ("junk.onnx", "data.npz", (), "MODEL {folder}/junk.onnx cannot be opened: not a readable ONNX file"),
        ("damaged.safetensors", "data.npz", (), "MODEL {folder}/damaged.safetensors cannot be opened: the file ends"),
        ("model.safetensors", "data.npz", ("--layout", "NHWC"), "--layout NHWC is for .onnx, .pt2 and factories"),
        (
            "model.safetensors",
            "data.npz",
            ("--detector", "factories:nothing"),
            "must return a fitted detector, got None",
        ),
        ("model.safetensors", "data.npz", ("--detector", "factories:unmade"), "cannot be made: RuntimeError: no such"),
        ("model.safetensors", "bombs", (), "bombs/0/0.bmp is not a readable image"),
        ("factories:scores", "data.npz", (), "answers (--answers) must say what the callable returns"),
        ("model.safetensors", "data.npz", ("--attacks", "substitute"), "substitute must be given own_inputs"),
        ("advcore.models:nothing", "data.npz", (), "the module has no nothing"),
        ("model.safetensors", "data.npz", ("--config", "missing.toml"), "there is no file missing.toml"),
    ],
)
def test_every_bad_input_has_its_line(files, tmp_path, model, data, more, line, dry):
    name = files / model if ":" not in model else model
    arguments = ("--data", files / data, *QUICK, *more, *dry, "--output", tmp_path / "out")
    result = command("evaluate", name, *arguments)
    assert result.exit_code != 0
    text = " ".join(result.output.split())
    assert line.format(folder=files) in text
    assert "Traceback" not in result.output


def test_a_damaged_program_is_one_line(files, tmp_path, capfd):
    """PyTorch's own log shows a traceback on the way."""
    more = ("--data", files / "data.npz", *QUICK, "--output", tmp_path)
    assert "junk.pt2 cannot be opened" in command("evaluate", files / "junk.pt2", *more).output
    assert "Traceback" not in capfd.readouterr().err


def test_factories_may_lie_in_the_working_folder(files, tmp_path, monkeypatch):
    (tmp_path / "in_the_working_folder.py").write_text((files / "factories.py").read_text())
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    arguments = ("--data", files / "data.npz", "--eps", "0.1", "--attacks", "square:steps=2", "--checks", "none")
    result = command("evaluate", "in_the_working_folder:scores", *arguments, "--answers", "logits")
    assert result.exit_code == 0, result.output


def test_an_output_folder_of_another_run(files, tmp_path):
    arguments = ("evaluate", files / "model.safetensors", "--data", files / "data.npz", *QUICK, "--output", tmp_path)
    assert command(*arguments).exit_code == 0
    result = command(*arguments, "--seed", 1)
    assert result.exit_code == 1
    assert "another seed: give the same seed" in result.output
    assert command(*arguments).exit_code == 0  # the same command: nothing left to do


class Raising:
    """Raises for one image."""

    def __init__(self, network, x, error=RuntimeError):
        self.network, self.bad, self.error = network, x, error

    def logits(self, x):
        if (np.abs(x - self.bad).reshape(len(x), -1).max(axis=1) < 0.3).any():
            raise self.error("no such weather")
        return self.network.logits(x)

    def vjp(self, x, cotangent):
        return self.network.vjp(x, cotangent)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, SystemExit])
def test_a_model_that_raises_midway_costs_its_sample_only(plain, x, y, error):
    model = Raising(plain, x[3], error)
    report = advcore.evaluate(model, x[:10], y[:10], norm="linf", eps=0.1, attacks=["pgd"], checks=False)
    assert {entry["sample"] for entry in report.results["errors"]} == {3}
    assert "no such weather" in str(report)
    whole = advcore.evaluate(plain, x[:10], y[:10], norm="linf", eps=0.1, attacks=["pgd"], checks=False)
    others = [(row.sample, row.success) for row in report.rows if row.attack == "pgd"]
    assert others == [(row.sample, row.success) for row in whole.rows if row.attack == "pgd" and row.sample != 3]
