"""Torch modules as models: evaluation mode, gradients by autograd, nothing left behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import advcore
from advcore.attacks import fgsm, pgd, zoo

PACKAGES = Path(advcore.__file__).parents[1]  # `python -c` looks in the current folder first: not in the source tree


@pytest.fixture
def module():
    torch.manual_seed(0)
    parts = (torch.nn.Flatten(), torch.nn.Linear(12, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU())
    return torch.nn.Sequential(*parts, torch.nn.Dropout(0.9), torch.nn.Linear(16, 3))


@pytest.fixture
def images():
    return np.random.default_rng(0).random((8, 3, 4)).astype(np.float32)


def test_module_is_attacked_in_evaluation_mode_and_left_as_it_was(module, images):
    module.train()
    module[2].eval()
    before = [parameter.clone() for parameter in (*module.parameters(), *module.buffers())]
    labels = np.zeros(8, np.int64)
    results = [pgd(module, images, labels, eps=0.3), fgsm(module, images, labels, eps=0.3)]
    results.append(zoo(module, images, labels, steps=20, c=10.0))
    assert module.training
    assert not module[2].training
    assert module[4].training
    assert all(parameter.grad is None for parameter in module.parameters())
    for old, new in zip(before, (*module.parameters(), *module.buffers()), strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=0)
    module.eval()
    for result in results:
        predicted = module(torch.from_numpy(result.examples)).argmax(dim=1).numpy()
        np.testing.assert_array_equal(result.success, predicted != labels)
        assert result.success.any()


def test_fgsm_takes_the_sign_of_autograd(module, images):
    module.eval()
    leaf = torch.from_numpy(images).requires_grad_()
    labels = module(leaf).argmax(dim=1)
    torch.nn.functional.cross_entropy(module(leaf), labels).backward()
    expected = (leaf.detach() + 0.01 * leaf.grad.sign()).clamp(0, 1).numpy()
    result = fgsm(module, images, labels.numpy(), eps=0.01)
    np.testing.assert_allclose(result.examples, expected, atol=1e-7)
    assert result.examples.dtype == np.float32


def test_double_inputs_are_given_in_the_type_of_the_parameters(module, images):
    result = pgd(module, images.astype(np.float64), np.zeros(8, np.int64), eps=0.1)
    assert result.examples.dtype == np.float64


def test_a_module_that_ignores_its_input_is_masked(images):
    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[1.0, 0.0]], requires_grad=True).expand(len(x), 2)

    assert (pgd(Constant(), images, np.zeros(8, np.int64), eps=0.1, steps=2).status == "masked").all()


def test_attacks_do_not_import_torch():
    code = "import sys, advcore.attacks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=PACKAGES).returncode == 0
