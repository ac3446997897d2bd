"""Trainings that are cut off, even by SIGKILL, go on to the same bits; other trainings' checkpoints are refused."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import advcore
from advcore import models, nn
from advcore.nn import losses, schedules

PACKAGES = Path(advcore.__file__).parents[1]
RNG = np.random.default_rng(0)
X = RNG.random((70, 1, 8, 8), np.float32)
Y = RNG.integers(0, 10, 70)
VALIDATION = (RNG.random((30, 1, 8, 8), np.float32), RNG.integers(0, 10, 30))

OPTIMIZERS = {
    "sgd": lambda: nn.SGD(0.05, momentum=0.9),
    "rmsprop": lambda: nn.RMSProp(1e-3, momentum=0.5),
    "adam": lambda: nn.Adam(1e-3),
}


class CutError(Exception):
    """What ends a training early."""


def train(folder=None, *, optimizer="adam", cut=None, **changes):
    """Train a new network; with ``cut`` so many updates only."""
    asked = []

    def cosine(share):
        asked.append(share)
        if cut is not None and len(asked) > cut:
            raise CutError
        return schedules.cosine(share)

    network = changes.pop("network", None) or models.mlp((1, 8, 8), hidden=(20,), dropout=0.2)
    arguments = {"x": X, "y": Y, "epochs": 4, "batch_size": 16, "optimizer": OPTIMIZERS[optimizer](), "seed": 3}
    arguments |= {"clip_norm": 0.5, "validation": VALIDATION, "schedule": cosine}
    arguments |= {} if folder is None else {"checkpoint": folder / "run"}
    history = nn.fit(network, **(arguments | changes))
    return network.state_dict(), history, len(asked)


def assert_same(got, want):
    assert got.keys() == want.keys()
    for name, array in want.items():
        assert got[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_in_pieces_gives_the_same_bits(tmp_path, optimizer):
    want, history, updates = train(optimizer=optimizer)
    assert updates == 20
    for cut in (0, 3, 5, 6, 2):  # the first ends before the first checkpoint
        with pytest.raises(CutError):
            train(tmp_path, optimizer=optimizer, cut=cut, checkpoint_steps=2)
    got, resumed, left = train(tmp_path, optimizer=optimizer, checkpoint_steps=2)
    assert_same(got, want)
    assert 0 < left < 20
    for one, other in zip(resumed.epochs, history.epochs, strict=True):
        assert (one.number, one.loss, one.accuracy) == (other.number, other.loss, other.accuracy)
        assert one.validation_accuracy == other.validation_accuracy
    again, finished, left = train(tmp_path, optimizer=optimizer, checkpoint_steps=2)
    assert_same(again, want)
    assert left == 0
    assert finished == resumed


def test_samples_without_a_class_stay_out_of_the_accuracy_in_pieces_too(tmp_path):
    targets = np.where(np.arange(70)[:, np.newaxis] % 3 == 0, 0, np.eye(10)[Y]).astype(np.float32)
    want, history, _ = train(y=targets)
    with pytest.raises(CutError):
        train(tmp_path, y=targets, cut=4, checkpoint_steps=2)
    got, resumed, _ = train(tmp_path, y=targets, checkpoint_steps=2)
    assert_same(got, want)
    assert [epoch.accuracy for epoch in resumed.epochs] == [epoch.accuracy for epoch in history.epochs]
    for epoch in history.epochs:  # of 46 samples, not of 70
        assert epoch.accuracy * 46 == pytest.approx(round(epoch.accuracy * 46), abs=1e-9)


@pytest.mark.parametrize("name", ["small_cnn", "gru_classifier"])
def test_any_number_of_threads_goes_on(tmp_path, name):
    def build():
        return getattr(models, name)((1, 8, 8))

    want, _, _ = train(network=build())
    before = advcore.get_num_threads()
    for threads, cut in ((1, 7), (2, 7), (1, None)):
        advcore.set_num_threads(threads)
        if cut:
            with pytest.raises(CutError):
                train(tmp_path, network=build(), cut=cut)
        else:
            assert_same(train(tmp_path, network=build())[0], want)
    advcore.set_num_threads(before)


def test_patience_goes_on(tmp_path):
    options = {"patience": 2, "epochs": 60}
    want, history, updates = train(**options)
    assert len(history.epochs) == history.best.number + 2 < 60
    for cut in (9, updates // 2):
        with pytest.raises(CutError):
            train(tmp_path, cut=cut, **options)
    assert_same(train(tmp_path, **options)[0], want)
    again, finished, left = train(tmp_path, **options)
    assert_same(again, want)
    assert (left, len(finished.epochs)) == (0, len(history.epochs))


def test_the_callback_is_told_what_is_new(tmp_path):
    seen = []
    with pytest.raises(CutError):
        train(tmp_path, cut=12, callback=seen.append)
    train(tmp_path, callback=seen.append)
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4]


def steady(share):
    return 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X + np.float32(1e-3)}, "training: x differs. Remove it"),
        ({"y": (Y + 1) % 10}, "training: y differs. Remove it"),
        ({"epochs": 5}, "training: epochs was 4, is 5. Remove it"),
        ({"batch_size": 8}, "training: batch_size was 16, is 8. Remove it"),
        ({"seed": 4}, "training: seed was 3, is 4. Remove it"),
        ({"clip_norm": None}, "training: clip_norm was 0.5, is None. Remove it"),
        ({"patience": 3}, "training: patience was None, is 3. Remove it"),
        ({"validation": None}, "training: validation differs. Remove it"),
        ({"validation": (VALIDATION[0], (VALIDATION[1] + 1) % 10)}, "training: validation differs. Remove it"),
        ({"schedule": steady}, "training: schedule (was|differs).*. Remove it"),
        ({"loss": "margin"}, "training: loss was 'cross_entropy', is 'margin'. Remove it"),
        ({"loss": functools.partial(losses.cross_entropy, temperature=2)}, "training: loss differs. Remove it"),
        ({"optimizer": "sgd"}, "optimizer (was|differs)"),
        ({"network": models.mlp((1, 8, 8), hidden=(20,), dropout=0.2, seed=1)}, "training: initial state differs. Remove"),
        ({"network": models.mlp((1, 8, 8), hidden=(20,), dropout=0.3)}, "training: network differs. Remove it"),
        ({"network": models.mlp((1, 8, 8), hidden=(21,), dropout=0.2)}, "training: network differs, initial state differs"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_training_is_refused(tmp_path, changes, message):
    train(tmp_path)
    before = (tmp_path / "run").read_bytes()
    with pytest.raises(ValueError, match=message):
        train(tmp_path, **changes)
    assert (tmp_path / "run").read_bytes() == before


def test_arguments_that_are_told_apart():
    from advcore.nn.checkpoint import describe

    different = [
        losses.Capped(losses.margin), losses.Capped(losses.margin, eps=0.1), losses.Capped(losses.multiclass_hinge),
        schedules.Warmup(), schedules.Warmup(then="cosine"), schedules.Step(epochs=3, step_size=1),
        functools.partial(losses.huber, delta=2), functools.partial(losses.huber, delta=3), losses.huber, "huber",
        nn.ReLU(), None, 1, 1.0, X, X[1:], X.astype(np.float64), (X, Y), (Y, X),
    ]  # fmt: skip
    texts = [describe(value) for value in different]
    assert len(set(texts)) == len(texts)
    assert describe(losses.Capped(losses.margin)) == texts[0]
    assert "0x" not in "".join(texts)


def test_an_optimizer_that_has_a_state_is_told_apart(tmp_path):
    network = models.mlp((1, 8, 8))
    optimizer = nn.Adam()
    options = {"epochs": 1, "optimizer": optimizer, "checkpoint": tmp_path / "run"}
    start = network.state_dict()
    nn.fit(network, X, Y, **options)
    network.load_state_dict(start)
    with pytest.raises(ValueError, match="initial state differs"):
        nn.fit(network, X, Y, **options)


def test_broken_checkpoints_are_refused_by_name(tmp_path):
    train(tmp_path)
    file = tmp_path / "run"
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    cases = [b"", b"x", whole[:-1], whole + b"x", *(whole[: rng.integers(len(whole))] for _ in range(20))]
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        cases.append(bytes(flipped))
    for content in cases:
        file.write_bytes(content)
        network = models.mlp((1, 8, 8), hidden=(20,), dropout=0.2)
        before = network.state_dict()
        with pytest.raises(ValueError, match="run is no checkpoint that training can go on from"):
            train(tmp_path, network=network)
        assert_same(network.state_dict(), before)
    models.mlp((4,), 3).save(file)
    with pytest.raises(ValueError, match=r"its metadata has no 'advcore\.checkpoint'"):
        train(tmp_path)
    file.write_bytes(whole)
    with pytest.raises(ValueError, match="holds no network"):
        nn.Network.load(file)


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write to the folder"):
        train(tmp_path / "file", cut=0)
    train(tmp_path / "new" / "folder")
    assert [file.name for file in (tmp_path / "new" / "folder").iterdir()] == ["run"]


KILLS = """
import os, random, signal, sys, time
import numpy as np
from pathlib import Path
from advcore import models, nn
folder, kills = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
x, y = rng.random((400, 12), np.float32), rng.integers(0, 10, 400)

def child(checkpoint, result):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        network = models.mlp((12,), hidden=(30,), dropout=0.2)
        options = {} if checkpoint is None else {"checkpoint": checkpoint, "checkpoint_steps": 1}
        nn.fit(network, x, y, epochs=8, batch_size=16, validation=(x, y), patience=5, **options)
        network.save(result)
        code = 0
    finally:
        os._exit(code)

def written():
    # one checkpoint is another file than the next
    try:
        return os.stat(folder / "run").st_ino
    except FileNotFoundError:
        return None

random.seed(0)
began = killed = 0
while killed < kills:
    last, pid = written(), child(folder / "run", folder / "resumed")
    began, status = began + (last is not None), 0
    for _ in range(random.randint(0, 8)):  # so many checkpoints later, wherever it is then
        while not status and written() == last:
            status = os.waitpid(pid, os.WNOHANG)[0]
            time.sleep(0.0005)
        last = written()
    time.sleep(random.uniform(0, 0.01))
    if not status:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            killed += 1
            continue
    folder.joinpath("run").unlink()  # it came to its end: again from the start
for checkpoint, name in ((folder / "run", "resumed"), (None, "whole")):
    _, status = os.waitpid(child(checkpoint, folder / name), 0)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
print(began)
"""


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_training_that_is_killed_at_any_moment_gives_the_same_bits(tmp_path, kills):
    command = [sys.executable, "-c", KILLS, str(tmp_path), str(kills)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=PACKAGES, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= kills // 2, "most kills came before a checkpoint was written"
    resumed, whole = ((tmp_path / name).read_bytes() for name in ("resumed", "whole"))
    assert resumed == whole
