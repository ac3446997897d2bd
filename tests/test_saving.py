"""Networks in files: every layer comes back with the same bits; files are whole and readable by others."""

import json

import numpy as np
import pytest
import safetensors.numpy

from advcore import models, nn
from advcore.nn import serialization

# A layer of every class with arguments that are not its defaults, and a shape that it takes.
EXAMPLES = {
    "Add": (nn.Add(), (3, 8, 8)),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((3, 2)), (3, 8, 8)),
    "Affine": (nn.Affine((3, 1, 8), shift=False), (3, 8, 8)),
    "AvgPool2d": (nn.AvgPool2d(3, (2, 1), 1, True, False), (3, 8, 8)),
    "Clip": (nn.Clip(0.1, None, False), (3, 8, 8)),
    "Concatenate": (nn.Concatenate(2), (3, 8, 8)),
    "Conv2d": (nn.Conv2d(3, 6, (3, 2), (1, 2), "valid", 2, 3, False), (3, 8, 8)),
    "Dropout": (nn.Dropout(0.3), (3, 8, 8)),
    "BatchNorm": (nn.BatchNorm(3, momentum=0.3), (3, 8, 8)),
    "BatchNormLSTM": (nn.BatchNormLSTM(8, 5, output="last", gamma=0.2), (6, 8)),
    "Flatten": (nn.Flatten(), (3, 8, 8)),
    "GroupNorm": (nn.GroupNorm(3, 6), (6, 4, 4)),
    "InstanceNorm": (nn.InstanceNorm(3, affine=True), (3, 8, 8)),
    "LayerNorm": (nn.LayerNorm((8, 8)), (3, 8, 8)),
    "Scale": (nn.Scale(0.5, 0.25), (3, 8, 8)),
    "Slice": (nn.Slice(2, 1, -1, 2), (3, 8, 8)),
    "GELU": (nn.GELU("tanh"), (3, 8, 8)),
    "GaussianNoise": (nn.GaussianNoise(0.2), (3, 8, 8)),
    "GRU": (nn.GRU(8, 5, 2, False, bidirectional=True, output="last", reset="before"), (6, 8)),
    "LSTM": (nn.LSTM(8, 5, bidirectional=True), (6, 8)),
    "LeakyReLU": (nn.LeakyReLU(0.3), (3, 8, 8)),
    "Linear": (nn.Linear(8, 4, False), (3, 8, 8)),
    "LogSoftmax": (nn.LogSoftmax(), (3, 8)),
    "MaxPool2d": (nn.MaxPool2d(3, 2, 1, 2, True), (3, 8, 8)),
    "Mean": (nn.Mean((2, 3), True), (3, 8, 8)),
    "Multiply": (nn.Multiply(), (3, 8, 8)),
    "NegativeDistance": (nn.NegativeDistance(4, 2.0), (12,)),
    "Normalize": (nn.Normalize((0.1, 1 / 3, 0.5), 0.7), (3, 8, 8)),
    "Pad": (nn.Pad(((0, 0), (1, 2), (0, 3)), 0.25), (3, 8, 8)),
    "Permute": (nn.Permute((2, 3, 1)), (3, 8, 8)),
    "RNN": (nn.RNN(8, 5, 3, output="last"), (6, 8)),
    "ReLU": (nn.ReLU(), (3, 8, 8)),
    "Reshape": (nn.Reshape((4, -1)), (3, 8, 8)),
    "RowsAsSteps": (nn.RowsAsSteps(), (3, 8, 8)),
    "Sigmoid": (nn.Sigmoid(), (3, 8, 8)),
    "Softmax": (nn.Softmax(), (3, 8)),
    "Subtract": (nn.Subtract(), (3, 8, 8)),
    "Tanh": (nn.Tanh(), (3, 8, 8)),
}


def layer_classes():
    """Return the layers that advcore.nn offers, by name; not what they are derived from."""
    offered = {name: getattr(nn, name) for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    return {name: kind for name, kind in offered.items() if issubclass(kind, nn.Layer) and kind is not nn.Layer}


def test_every_layer_can_be_saved():
    assert layer_classes() == serialization.LAYERS
    assert set(EXAMPLES) == set(serialization.LAYERS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_layer_comes_back_with_the_same_bits(tmp_path, name, dtype):
    example, shape = EXAMPLES[name]
    layer = type(example)(**example.config())
    merges = name in ("Add", "Concatenate", "Multiply", "Subtract")
    network = nn.Network({"a": nn.ReLU(), "b": layer}, wiring={"b": ("input", "a")} if merges else {}, dtype=dtype)
    network.save(tmp_path / "net")
    loaded = nn.Network.load(tmp_path / "net")
    assert repr(loaded) == repr(network)
    assert loaded.wiring == network.wiring
    assert loaded.dtype == dtype
    assert loaded.layers["b"].config() == layer.config()
    assert list(loaded.state_dict()) == list(network.state_dict())
    for key, array in network.state_dict().items():
        assert loaded.state_dict()[key].tobytes() == array.tobytes()
    x = np.random.default_rng(0).standard_normal((4, *shape)).astype(dtype)
    assert loaded.logits(x).tobytes() == network.logits(x).tobytes()


def test_layers_that_are_shared_stay_shared(tmp_path):
    layer = nn.Linear(8, 8)
    network = nn.Network({"a": layer, "b": nn.Tanh(), "c": layer, "sum": nn.Add()}, wiring={"sum": ("c", "input")})
    network.save(tmp_path / "net.safetensors")
    loaded = nn.Network.load(str(tmp_path / "net.safetensors"))
    assert loaded.layers["a"] is loaded.layers["c"]
    assert list(loaded.parameters()) == ["a.weight", "a.bias"]
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    np.testing.assert_array_equal(loaded.logits(x), network.logits(x))


@pytest.mark.parametrize("name", ["mlp", "small_cnn", "lenet", "carlini_mnist", "gru_classifier", "lstm_classifier"])
def test_models_come_back_and_go_on_training(tmp_path, name):
    network = getattr(models, name)((1, 16, 16))
    network.save(tmp_path / "net")
    loaded = nn.Network.load(tmp_path / "net")
    x = np.random.default_rng(0).random((20, 1, 16, 16), np.float32)
    for each in (network, loaded):
        nn.fit(each, x, np.arange(20) % 10, epochs=2, batch_size=8)
    np.testing.assert_array_equal(loaded.logits(x), network.logits(x))


def test_special_numbers_keep_their_bits(tmp_path):
    network = nn.Sequential(nn.Linear(4, 1, False))
    weight = np.array([[np.nan, -0.0, np.inf, 1e-42]], np.float32)
    network.load_state_dict({"0.weight": weight})
    network.save(tmp_path / "net")
    assert nn.Network.load(tmp_path / "net").parameters()["0.weight"].tobytes() == weight.tobytes()


def test_a_layer_of_parameters_that_are_a_view(tmp_path):
    network = nn.Sequential(nn.Linear(4, 3, False))
    network.layers["0"].parameters["weight"] = np.arange(12, dtype=np.float32).reshape(4, 3).T
    network.save(tmp_path / "net")
    loaded = nn.Network.load(tmp_path / "net")
    np.testing.assert_array_equal(loaded.parameters()["0.weight"], np.arange(12).reshape(4, 3).T)


def test_other_programs_can_read_the_file(tmp_path):
    network = models.mlp((4,), 3, hidden=(5,))
    network.save(tmp_path / "net")
    arrays = safetensors.numpy.load_file(tmp_path / "net")
    assert set(arrays) == set(network.parameters())
    for name, array in network.parameters().items():
        np.testing.assert_array_equal(arrays[name], array)
    with safetensors.safe_open(tmp_path / "net", framework="numpy") as file:
        graph = json.loads(file.metadata()["advcore.network"])
    assert [layer["class"] for layer in graph["layers"]] == ["Flatten", "Linear", "ReLU", "Linear"]


def test_saving_is_repeatable_and_leaves_one_file(tmp_path):
    network = models.mlp((4,), 3)
    for name in ("a", "a", "b"):
        network.save(tmp_path / name)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_save_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    network = models.mlp((4,), 3)
    network.save(tmp_path / "net")
    before = (tmp_path / "net").read_bytes()

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        models.mlp((4,), 3, seed=1).save(tmp_path / "net")
    assert (tmp_path / "net").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_saved(tmp_path):
    class Own(nn.ReLU):
        """A layer of the user's."""

    class ReLU(nn.ReLU):
        """One that has the name of ours."""

    for kind in (Own, ReLU):
        with pytest.raises(ValueError, match=r"layer 0 must be of a class of advcore\.nn to be saved, got"):
            nn.Sequential(kind()).save(tmp_path / "net")
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match="path must be a path, got int 3"):
        nn.Sequential(nn.ReLU()).save(3)
    with pytest.raises(FileNotFoundError):
        nn.Sequential(nn.ReLU()).save(tmp_path / "missing" / "net")
    with pytest.raises(FileNotFoundError):
        nn.Network.load(tmp_path / "net")
