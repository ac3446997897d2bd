"""The published architectures: sizes, costs, names and initial parameters."""

import numpy as np
import pytest
import torch

import advcore
from advcore import models, nn

# parameters at (3, 224, 224) and 1000 classes, and giga-multiply-adds of a forward pass, as torchvision publishes them
PUBLISHED = {
    "alexnet": (61_100_840, 0.71),
    "vgg16": (138_357_544, 15.47),
    "resnet18": (11_689_512, 1.81),
    "resnet34": (21_797_672, 3.66),
    "resnet50": (25_557_032, 4.09),
    "resnet101": (44_549_160, 7.80),
    "resnet152": (60_192_808, 11.51),
}


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Sizes need no random numbers, which take seconds for 10^8 parameters."""
    if "sizes" in request.node.name:
        for kind in (nn.Conv2d, nn.Linear):
            monkeypatch.setattr(kind, "initialise", lambda self, rng, dtype: None)
        for module in (models.resnet, models.vgg):
            monkeypatch.setattr(module, "he_normal", lambda layers, rng, dtype, linear=0.0: None)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_and_costs(name):
    network = getattr(models, name)()
    count, cost = PUBLISHED[name]
    assert network.parameter_count() == count
    assert network.output_shape((3, 224, 224)) == (1000,)
    assert network.flops((3, 224, 224)) / 2e9 == pytest.approx(cost, abs=0.006)


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18", "resnet50"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 64, 96), (1, 8, 5), (1, 1, 1)])
def test_input_sizes_and_class_counts(name, shape):
    assert getattr(models, name)(shape, 7).output_shape(shape) == (7,)


def test_carlini_cifar():
    network = models.carlini_cifar()
    convolutions = 64 * (27 + 1) + 64 * (576 + 1) + 128 * (576 + 1) + 128 * (1152 + 1)
    assert network.parameter_count() == convolutions + 256 * (128 * 25 + 1) + 256 * 257 + 10 * 257
    assert network.output_shape((3, 32, 32)) == (10,)


class Block(torch.nn.Module):
    """The residual block of two convolutions, written as in torchvision."""

    def __init__(self, inputs, maps, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, maps, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(maps)
        self.conv2 = torch.nn.Conv2d(maps, maps, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(maps)
        self.relu = torch.nn.ReLU(inplace=True)
        self.downsample = None
        if inputs != maps or stride > 1:
            self.downsample = torch.nn.Sequential(
                torch.nn.Conv2d(inputs, maps, 1, stride, bias=False), torch.nn.BatchNorm2d(maps)
            )

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet18(torch.nn.Module):
    """torchvision's ResNet, written again."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(64)
        self.relu = torch.nn.ReLU(inplace=True)
        self.maxpool = torch.nn.MaxPool2d(3, 2, 1)
        for stage, (inputs, maps) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)]):
            blocks = torch.nn.Sequential(Block(inputs, maps, 1 + (stage > 0)), Block(maps, maps, 1))
            setattr(self, f"layer{stage + 1}", blocks)
        self.avgpool = torch.nn.AdaptiveAvgPool2d((1, 1))
        self.fc = torch.nn.Linear(512, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def test_resnet18_is_the_one_written_in_torch():
    network, module = models.resnet18((3, 96, 72), 6, seed=3), ResNet18(6).eval()
    state = {name: torch.from_numpy(array) for name, array in network.state_dict().items()}
    assert set(state) == {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}
    module.load_state_dict(state, strict=False)
    x = np.random.default_rng(0).random((2, 3, 96, 72), dtype=np.float32)
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(network.logits(x), expected, rtol=1e-3, atol=1e-4)
    imported = advcore.from_torch(module, (3, 96, 72))
    np.testing.assert_array_equal(imported.logits(x), network.logits(x))  # the same layers in the same order
    assert imported.state_dict().keys() == network.state_dict().keys()


def test_small_images_get_the_stem_of_the_papers_cifar_networks():
    network = models.resnet18((3, 32, 32), 10)
    assert network.layers["conv1"].kernel_size == (3, 3)
    assert "maxpool" not in network.layers
    assert "maxpool" in models.resnet18((3, 65, 32), 10).layers


def test_initial_parameters():
    network = models.resnet18((3, 32, 32), 10, seed=1)
    weight = network.parameters()["layer3.0.conv2.weight"]
    assert weight.std() == pytest.approx(np.sqrt(2 / (256 * 9)), rel=0.01)
    assert abs(weight.mean()) < 4 * weight.std() / np.sqrt(weight.size)
    again, other = models.resnet18((3, 32, 32), 10, seed=1), models.resnet18((3, 32, 32), 10, seed=2)
    np.testing.assert_array_equal(weight, again.parameters()["layer3.0.conv2.weight"])
    assert np.any(weight != other.parameters()["layer3.0.conv2.weight"])
    vgg = models.vgg16((3, 32, 32), 10, dtype=np.float64).parameters()
    assert vgg["classifier.3.weight"].std() == pytest.approx(0.01, rel=0.01)
    assert vgg["classifier.3.weight"].dtype == np.float64
    assert not vgg["features.0.bias"].any()


@pytest.mark.parametrize("name", [*PUBLISHED, "carlini_cifar"])
def test_arguments_are_checked(name):
    build = getattr(models, name)
    with pytest.raises(ValueError, match=r"input_shape must be \(C, H, W\), got \(32, 32\)"):
        build((32, 32))
    with pytest.raises(TypeError, match="seed must be an integer"):
        build((1, 16, 16), 2, seed=0.5)
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        build((1, 16, 16), 2, dtype=np.float16)


def test_wong_mnist_and_rbf_network():
    network = models.wong_mnist()
    assert network.output_shape((1, 28, 28)) == (10,)
    assert network.parameter_count() == 16 * 17 + 32 * (16 * 16 + 1) + 1568 * 100 + 100 + 1010
    with pytest.raises(ValueError, match=r"input_shape .1, 2, 2. is too small"):
        models.wong_mnist((1, 2, 2))
    distances = models.rbf_network((1, 28, 28), hidden=(150,), units=4)
    assert distances.output_shape((1, 28, 28)) == (10,)
    assert distances.parameter_count() == 784 * 150 + 150 + 150 * 40 + 40
