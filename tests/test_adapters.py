"""Networks as torch modules, Foolbox models and ART classifiers: attacks of others give what they give on torch's own."""

import re

import numpy as np
import pytest
import torch

from advcore import models, nn
from advcore.adapters.torch import Module


@pytest.fixture(scope="module")
def batch():
    network = models.small_cnn(seed=1)
    x = np.random.default_rng(0).random((16, 1, 8, 8), dtype=np.float32)
    return network, x, network.predict(x)


def test_gradients_are_torchs(batch):
    network, x, y = batch
    gradients = []
    for module in (Module(network, parameters=True), network.to_torch()):
        leaf = torch.from_numpy(x).requires_grad_()
        loss = torch.nn.functional.cross_entropy(module(leaf * 2), torch.from_numpy(y))
        loss.backward()
        gradients.append([leaf.grad, *(parameter.grad for parameter in module.parameters())])
    for own, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(own.numpy(), expected.numpy(), rtol=1e-4, atol=1e-7)


def test_a_module_shares_the_networks_state():
    network = nn.Network(
        {"conv.a": nn.Conv2d(1, 2, 3), "norm": nn.BatchNorm(2), "flat": nn.Flatten(), "out": nn.Linear(8, 3)}
    )
    module = Module(network)
    assert {name: tensor.shape for name, tensor in module.state_dict().items()} == {
        name: torch.Size(array.shape) for name, array in network.state_dict().items()
    }
    assert not any(parameter.requires_grad for parameter in module.parameters())
    with torch.no_grad():
        module.get_parameter("out.bias").fill_(7)
    assert (network.parameters()["out.bias"] == 7).all()
    x = torch.rand(2, 1, 4, 4)
    np.testing.assert_array_equal(module.train()(x).numpy(), network.logits(x.numpy()))  # evaluation mode all the same
    np.testing.assert_array_equal(module(x.double()).numpy(), network.logits(x.numpy()))


def test_training_by_a_torch_optimiser(batch):
    _, x, _ = batch
    network = models.mlp((1, 8, 8), 2, hidden=(16,), seed=0)
    labels, losses = torch.arange(16) % 2, []
    for module in (network.to_torch(), Module(network, parameters=True)):
        optimiser = torch.optim.SGD(module.parameters(), lr=0.5)
        losses.append([])
        for _ in range(60):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(torch.from_numpy(x)), labels)
            loss.backward()
            optimiser.step()
            losses[-1].append(loss.item())
    assert losses[0][-1] < 0.9 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    np.testing.assert_array_equal(network.logits(x), module(torch.from_numpy(x)).detach().numpy())


def test_what_a_module_refuses(batch):
    network, x, _ = batch
    with pytest.raises(TypeError, match="network must be of type Network, got function"):
        Module(lambda x: x)
    with pytest.raises(ValueError, match=re.escape("x does not fit layer 0")):
        Module(network)(torch.zeros(2, 3, 8, 8, requires_grad=True))
    with pytest.raises(ValueError, match="x must be on the CPU, got it on meta"):
        Module(network)(torch.zeros(2, 1, 8, 8, device="meta"))
    leaf = torch.from_numpy(x).requires_grad_()
    (gradient,) = torch.autograd.grad(Module(network)(leaf).square().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.filterwarnings("ignore")  # of what Foolbox imports
def test_foolboxs_pgd(batch):
    foolbox = pytest.importorskip("foolbox")
    from advcore.adapters.foolbox import Model

    network, x, y = batch
    attack = foolbox.attacks.LinfPGD(steps=10, random_start=False)
    results = []
    for model in (Model(network), foolbox.PyTorchModel(network.to_torch(), bounds=(0, 1), device="cpu")):
        _, examples, success = attack(model, torch.from_numpy(x), torch.from_numpy(y), epsilons=0.1)
        results.append((examples.numpy(), success.numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], atol=1e-5)
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert results[0][1].any()
    with pytest.raises(TypeError, match="network must be of type Network"):
        Model(network.to_torch())


@pytest.mark.filterwarnings("ignore")  # of what ART imports
def test_arts_attacks(batch):
    evasion = pytest.importorskip("art.attacks.evasion")
    from art.estimators.classification import PyTorchClassifier

    from advcore.adapters.art import Classifier

    network, x, y = batch
    theirs = PyTorchClassifier(
        network.to_torch(), torch.nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0, 1), device_type="cpu"
    )
    results = []
    for classifier in (Classifier(network, (1, 8, 8)), theirs):
        step = evasion.FastGradientMethod(classifier, eps=0.1).generate(x, y)
        results.append((step, evasion.DeepFool(classifier, max_iter=2, verbose=False).generate(x)))
    for own, expected in zip(*results, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)
        assert np.abs(own - x).max() > 0.01
