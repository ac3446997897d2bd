"""advcore.from_torch: random graphs against the modules they come from, and what classifiers are written with."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import advcore
from advcore import nn
from advcore.nn.torch_import import graphs

PACKAGES = Path(advcore.__file__).parents[1]

# name: how many inputs it takes, module (channels -> module or None), what it computes
OPERATIONS = {
    "conv": (1, lambda c: torch.nn.Conv2d(c, c, 3, padding="same", bias=False), lambda m, x: m(x)),
    "strided": (1, lambda c: torch.nn.Conv2d(c, c, 3, 2, 1, groups=c), lambda m, x: m(x)),
    "batch_norm": (1, torch.nn.BatchNorm2d, lambda m, x: m(x)),
    "group_norm": (1, lambda c: torch.nn.GroupNorm(1, c), lambda m, x: m(x)),
    "layer_norm": (1, torch.nn.LayerNorm, lambda m, x: m(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)),
    "instance_norm": (1, lambda c: torch.nn.InstanceNorm2d(c, affine=True), lambda m, x: m(x)),
    "relu": (1, None, lambda m, x: functional.relu(x)),
    "leaky": (1, lambda c: torch.nn.LeakyReLU(0.2), lambda m, x: m(x)),
    "gelu": (1, None, lambda m, x: functional.gelu(x, approximate="tanh")),
    "silu": (1, lambda c: torch.nn.SiLU(), lambda m, x: m(x)),
    "hardswish": (1, None, lambda m, x: functional.hardswish(x)),
    "clamp": (1, None, lambda m, x: x.clamp(-0.7, 0.9)),
    "softmax": (1, None, lambda m, x: torch.softmax(x, 1)),
    "max_pool": (1, lambda c: torch.nn.MaxPool2d(2, ceil_mode=True), lambda m, x: m(x)),
    "avg_pool": (1, None, lambda m, x: functional.avg_pool2d(x, 3, 1, 1)),
    "dropout": (1, lambda c: torch.nn.Dropout(0.0), lambda m, x: m(x)),
    "scale": (1, None, lambda m, x: 1 - x / 3),
    "cube": (1, None, lambda m, x: x**3 * 0.1),
    "pad": (1, None, lambda m, x: functional.pad(x, (1, 0, 0, 2), value=0.5)),
    "halves": (1, None, lambda m, x: torch.cat(torch.chunk(x, 2, 1)[::-1], 1)),
    "every_other": (1, None, lambda m, x: x[:, :, ::2, -3:]),
    "gate": (1, None, lambda m, x: x * torch.sigmoid(x.mean((2, 3), keepdim=True))),
    "add": (2, None, lambda m, x, y: x + y),
    "sub": (2, None, lambda m, x, y: x - 0.5 * y),
    "mul": (2, None, lambda m, x, y: x * y),
}


class Random(torch.nn.Module):
    """Runs a program of (operation, source); operations of two inputs take the newest value of the source's shape too."""

    def __init__(self, program, channels=4, classes=3):
        super().__init__()
        self.program = program
        self.parts = torch.nn.ModuleDict()
        for name, _ in program:  # an operation that comes twice is one module, used twice
            make = OPERATIONS[name][1]
            if make is not None and name not in self.parts:
                self.parts[name] = make(channels)
        self.stem = torch.nn.Conv2d(2, channels, 3, padding=1)
        self.head = torch.nn.Linear(channels, classes)

    def forward(self, x):
        values = [self.stem(x)]
        for name, source in self.program:
            count, make, compute = OPERATIONS[name]
            module = None if make is None else self.parts[name]
            value = values[source % len(values)]
            inputs = [value, values[-1] if self.same[len(values) - 1] else value][:count]
            values.append(compute(module, *inputs))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(values[-1], 1), 1))


def random_module(program, seed):
    """Build the module; which values have one shape is found by running it once."""
    torch.manual_seed(seed)
    program = list(program)
    module = Random(program)
    shapes = [(4, 8, 7)]
    module.same = []
    for step, (name, source) in enumerate(program):
        shape = shapes[source % len(shapes)]
        if name == "instance_norm" and shape[1:] == (1, 1):  # torch normalises no single pixel
            program[step], name = ("relu", source), "relu"
        module.same.append(shape == shapes[-1])
        count, make, compute = OPERATIONS[name]
        with torch.no_grad():
            inputs = [torch.zeros(2, *shape)] * count
            part = make(4).eval() if make is not None else None
            shapes.append(tuple(compute(part, *inputs).shape[1:]))
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.data.normal_()
    return module.double()


def unused(module):
    """Return the names of the operations whose values play no part in the result."""
    used = {len(module.program)}
    for step in reversed(range(len(module.program))):
        name, source = module.program[step]
        if step + 1 in used:
            used.add(source % (step + 1))
            if OPERATIONS[name][0] == 2:
                used.add(step if module.same[step] else source % (step + 1))
    return {name for step, (name, _) in enumerate(module.program) if step + 1 not in used}


programs = st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 20)), min_size=1, max_size=9)


def compare(network, module, x, labels, rng):
    """Compare logits and all gradients; with a generator in training mode."""
    leaf = torch.from_numpy(x).requires_grad_()
    logits = module(leaf)
    module.zero_grad()
    functional.cross_entropy(logits, torch.from_numpy(labels), reduction="sum").backward()
    values, saved = network.forward(x, rng)
    np.testing.assert_allclose(values, logits.detach().numpy(), rtol=1e-8, atol=1e-9)
    _, gradient = nn.losses.cross_entropy(values, labels)
    below, gradients = network.backward(saved, gradient, need_parameters=True)
    np.testing.assert_allclose(below, leaf.grad.numpy(), rtol=1e-6, atol=1e-8)
    own = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}
    assert set(network.parameters()) == set(own)
    for name, expected in own.items():
        np.testing.assert_allclose(gradients[name], expected.numpy(), rtol=1e-6, atol=1e-8, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(program=programs, seed=st.integers(0, 100))
def test_a_random_graph_agrees_in_both_modes(program, seed):
    module = random_module(program, seed).eval()
    network = advcore.from_torch(module, (2, 8, 7))
    assert network.imported.largest_difference < 1e-9
    rng = np.random.default_rng(seed)
    x, labels = rng.random((5, 2, 8, 7)), rng.integers(0, 3, 5)
    compare(network, module, x, labels, None)
    again = advcore.from_torch(network.to_torch(), (2, 8, 7))
    np.testing.assert_array_equal(again.logits(x), network.logits(x))
    assert again.state_dict().keys() == network.state_dict().keys()
    compare(network, module.train(), x, labels, rng)
    if "batch_norm" in unused(module):
        return  # torch follows the statistics of what nobody uses, too
    state = module.state_dict()
    for name, array in network.buffers().items():
        np.testing.assert_allclose(array, state[name].numpy(), rtol=1e-9, err_msg=name)


class Tutorial(torch.nn.Module):
    """The way that classifiers are written in tutorials."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 6, 5)
        self.pool = torch.nn.MaxPool2d(2, 2)
        self.conv2 = torch.nn.Conv2d(6, 16, 5)
        self.fc1 = torch.nn.Linear(16 * 4 * 4, 20)
        self.fc2 = torch.nn.Linear(20, 10)

    def forward(self, x):
        x = self.pool(functional.relu(self.conv1(x)))
        x = self.pool(functional.relu(self.conv2(x)))
        x = x.view(-1, 16 * 4 * 4)
        x = functional.dropout(functional.relu(self.fc1(x)), training=self.training)
        return functional.log_softmax(self.fc2(x), dim=1)


class ByShape(Tutorial):
    """Python that decides by shapes, which torch.fx cannot follow."""

    def forward(self, x):
        assert x.ndim == 4
        assert x.shape[1] == 1
        for layer in (self.conv1, self.conv2):
            x = self.pool(layer(x).relu_())
        n, c, h, w = x.shape
        if h > 2:
            x = x.reshape(n, c * h * w)
        return self.fc2(functional.relu(self.fc1(x)))


class Functions(torch.nn.Module):
    """Parameters without modules, functions, methods and operators."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(6, 3, 3, 3) / 5)
        self.gamma = torch.nn.Parameter(torch.randn(6, 1, 1))
        self.register_buffer("shift", torch.randn(1, 6, 1, 1))
        self.mix = torch.nn.Parameter(torch.randn(6, 5))
        self.row = torch.nn.Conv1d(5, 4, 3, padding=1, stride=2)
        self.twice = torch.nn.Linear(4, 4)

    def forward(self, x):
        y = torch.conv2d(x, self.weight, padding=1) * self.gamma + self.shift
        y = y.flatten(2).transpose(1, 2) @ self.mix
        y = functional.max_pool1d(self.row(y.permute(0, 2, 1)), 2)
        y = functional.adaptive_avg_pool1d(y, 1).squeeze(-1).unsqueeze(1)
        a, b = self.twice(self.twice(y))[:, 0].split([1, 3], dim=1)
        return torch.stack([a.sum(1), b.mean(1), -b[:, 1]], dim=1).clamp(min=-2)


class LastState(torch.nn.Module):
    """A recurrent classifier; what it takes of the layer is up to the test."""

    def __init__(self, kind, take, batch_first=True, **options):
        super().__init__()
        self.cells = kind(8, 5, batch_first=batch_first, **options)
        self.head = torch.nn.Linear(10 if options.get("bidirectional") else 5, 3)
        self.take, self.batch_first = take, batch_first

    def forward(self, x):
        x = x.squeeze(1)
        if not self.batch_first:
            x = x.transpose(0, 1)
        h0 = torch.zeros(self.cells.num_layers * (1 + self.cells.bidirectional), x.size(1 - self.batch_first), 5)
        state = (h0, h0) if isinstance(self.cells, torch.nn.LSTM) else h0
        return self.head(self.take(*self.cells(x, state)))


RECURRENT = {
    "lstm output": LastState(torch.nn.LSTM, lambda o, s: o[:, -1]),
    "lstm state": LastState(torch.nn.LSTM, lambda o, s: s[0][-1], num_layers=2),
    "gru squeezed": LastState(torch.nn.GRU, lambda o, h: h.squeeze(0)),
    "gru time first": LastState(torch.nn.GRU, lambda o, h: o[-1], batch_first=False),
    "rnn mean": LastState(torch.nn.RNN, lambda o, h: o.mean(dim=1)),
    "both ends": LastState(torch.nn.LSTM, lambda o, s: torch.cat((s[0][-2], s[0][-1]), 1), bidirectional=True),
    "both ends, moved": LastState(torch.nn.GRU, lambda o, h: h.permute(1, 0, 2).flatten(1), bidirectional=True),
    "output and state": LastState(torch.nn.GRU, lambda o, h: o[:, -1] + h[0]),
}


def agree(module, shape, **options):
    network = advcore.from_torch(module.eval(), shape, **options)
    x = np.random.default_rng(1).random((3, *shape), dtype=np.float32)
    leaf = torch.from_numpy(x).requires_grad_()
    logits = module(leaf)
    cotangent = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    logits.backward(cotangent)
    np.testing.assert_allclose(network.logits(x), logits.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network.vjp(x, cotangent.numpy()), leaf.grad.numpy(), rtol=1e-3, atol=1e-5)
    back = network.to_torch()
    np.testing.assert_allclose(back(leaf).detach().numpy(), logits.detach().numpy(), rtol=1e-4, atol=1e-5)
    again = advcore.from_torch(back, shape)
    np.testing.assert_array_equal(again.logits(x), network.logits(x))
    assert list(again.parameters()) == list(network.parameters()) == list(dict(back.named_parameters()))
    return network


def test_a_tutorials_classifier():
    network = agree(Tutorial(), (1, 28, 28))
    assert list(network.parameters()) == list(Tutorial().state_dict())


def test_torch_export_takes_over_where_python_decides_by_shapes():
    assert graphs.trace(ByShape().eval(), (1, 28, 28), torch.float32).exported
    network = agree(ByShape(), (1, 28, 28))
    assert list(network.parameters()) == list(ByShape().state_dict())


def test_functions_methods_and_parameters_without_modules():
    network = agree(Functions(), (3, 7, 9))
    assert sum(layer is network.layers["twice"] for layer in network.layers.values()) == 2


@pytest.mark.parametrize("case", RECURRENT)
def test_recurrent_classifiers(case):
    network = agree(RECURRENT[case], (1, 6, 8))
    if case in ("lstm output", "lstm state", "gru squeezed", "gru time first"):
        assert network.layers["cells"].output == "last"  # only that is computed


@pytest.mark.parametrize("name", ["gru_classifier", "lstm_classifier"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_our_recurrent_classifiers_come_back(name, bidirectional):
    network = getattr(advcore.models, name)((1, 5, 4), 3, bidirectional=bidirectional, num_layers=2)
    again = advcore.from_torch(network.to_torch(), (1, 5, 4))
    assert repr(again).replace("Network", "Sequential") == repr(network)


def test_a_layout_and_pixels_that_are_normalised():
    torch.manual_seed(0)
    inner = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 4 * 5, 2)
    )

    class ChannelsLast(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x.permute(0, 3, 1, 2))

    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    network = advcore.from_torch(ChannelsLast().eval(), (6, 7, 3), mean=mean, std=std, layout="NHWC")
    assert "Permute" not in repr(network)  # two turns that cancel
    x = np.random.default_rng(0).random((5, 3, 6, 7), dtype=np.float32)
    column = (torch.tensor(mean).reshape(3, 1, 1), torch.tensor(std).reshape(3, 1, 1))
    expected = inner.eval()((torch.from_numpy(x) - column[0]) / column[1])
    np.testing.assert_allclose(network.logits(x), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    by_rows = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6 * 7 * 3, 2)).eval()
    network = advcore.from_torch(by_rows, (6, 7, 3), layout="NHWC")
    expected = by_rows(torch.from_numpy(x.transpose(0, 2, 3, 1).copy()))
    np.testing.assert_allclose(network.logits(x), expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_parametrized_module_and_one_without_parameters():
    torch.manual_seed(0)
    linear = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(4, 3))
    agree(torch.nn.Sequential(linear, torch.nn.Tanh()), (4,))
    assert advcore.from_torch(torch.nn.Identity().eval(), (4,)).logits(np.ones((2, 4), np.float32)).shape == (2, 4)


def test_parameters_are_copies():
    module = torch.nn.Sequential(torch.nn.Linear(4, 3)).eval()
    network = advcore.from_torch(module, (4,))
    network.parameters()["0.weight"][...] = 0
    assert module[0].weight.abs().sum() > 0


def test_importing_advcore_imports_no_torch():
    code = "import sys, advcore; assert 'torch' not in sys.modules; advcore.from_torch; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGES)
