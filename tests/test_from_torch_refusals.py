"""advcore.from_torch: everything that it refuses, and what it says then."""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional

import advcore


def module(forward, **parts):
    """Build a module in evaluation mode from its forward function and its parts."""

    class Made(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, x):
            return forward(self, x)

    return Made().eval()


LINEAR = torch.nn.Linear(4, 3).eval()
IMAGE = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(72, 2)).eval()
LSTM = torch.nn.LSTM(4, 5, batch_first=True).eval()


def own_function(x):
    return x * 2


torch.fx.wrap("own_function")

REFUSED = {
    "no module": (lambda x: x, (4,), TypeError, "module must be of type Module"),
    "no shape": (LINEAR, 4, TypeError, "example_shape must be a tuple"),
    "training": (
        torch.nn.Sequential(torch.nn.BatchNorm1d(4)),
        (4,),
        ValueError,
        "module must be in evaluation mode, got Sequential, 0 in training mode: call module.eval() first",
    ),
    "meta": (
        torch.nn.Linear(4, 3, device="meta").eval(),
        (4,),
        ValueError,
        "module must be on the CPU, got weight on meta: call module.cpu() first",
    ),
    "half": (
        torch.nn.Linear(4, 3).half().eval(),
        (4,),
        TypeError,
        "module must be of type float32 or float64, got weight of float16: call module.float() first",
    ),
    "bfloat": (torch.nn.Linear(4, 3).bfloat16().eval(), (4,), TypeError, "got weight of bfloat16"),
    "mixed": (
        torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4).double()).eval(),
        (4,),
        TypeError,
        "module must be of one type, got 0.weight of float32 and 1.weight of float64",
    ),
    "a batch": (
        IMAGE,
        (1, 3, 8, 8),
        ValueError,
        "example_shape must be that of one sample, without the batch axis: (3, 8, 8), got (1, 3, 8, 8)",
    ),
    "another size": (
        IMAGE,
        (3, 9, 9),
        ValueError,
        "module must take samples of shape (3, 9, 9), but raised: mat1 and mat2",
    ),
    "data-dependent": (
        module(lambda self, x: x if x.sum() > 0 else -x),
        (4,),
        ValueError,
        "its Python depends on the data",
    ),
    "unknown module": (
        torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softplus()).eval(),
        (4,),
        ValueError,
        "cannot import node 1, a Softplus: this module is not supported; supported are the modules AdaptiveAvgPool1d, ",
    ),
    "unknown function": (
        module(lambda self, x: torch.erf(x)),
        (4,),
        ValueError,
        "cannot import node erf, erf: this operator is not supported; supported are the modules ",
    ),
    "own function": (
        module(lambda self, x: own_function(x)),
        (4,),
        ValueError,
        "node own_function, own_function: this operator is not supported",
    ),
    "two results": (
        module(lambda self, x: (x, x)),
        (4,),
        ValueError,
        "module must return its logits as one tensor, got tuple",
    ),
    "a constant": (
        module(lambda self, x: torch.zeros(x.shape[0], 2)),
        (4,),
        ValueError,
        "a tensor that does not depend on its input",
    ),
    "batch mixed": (module(lambda self, x: x.mean(0, keepdim=True) + x), (4,), ValueError, "which would mix samples"),
    "batch cut": (module(lambda self, x: x[:1] - x[1:2]), (4,), ValueError, "which would mix samples"),
    "batch in a product": (
        module(lambda self, x: x.view(x.size(0) * 4, 1).view(-1, 4)),
        (4,),
        ValueError,
        "arithmetic with the batch's size is not supported",
    ),
    "all flattened": (
        module(lambda self, x: torch.flatten(x).view(-1, 4)),
        (4,),
        ValueError,
        "which would mix samples",
    ),
    "dropout always": (
        module(lambda self, x: functional.dropout(x)),
        (4,),
        ValueError,
        "give it training=self.training",
    ),
    "batch statistics": (
        torch.nn.Sequential(torch.nn.BatchNorm1d(4, track_running_stats=False)).eval(),
        (4,),
        ValueError,
        "the batch's own statistics",
    ),
    "reflection": (
        torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), torch.nn.Flatten()).eval(),
        (3, 8, 8),
        ValueError,
        "padding_mode must be 'zeros', got 'reflect'",
    ),
    "relu cells": (
        module(
            lambda self, x: self.cells(x)[0][:, -1], cells=torch.nn.RNN(4, 5, nonlinearity="relu", batch_first=True)
        ),
        (3, 4),
        ValueError,
        "nonlinearity must be 'tanh', got 'relu'",
    ),
    "projection": (
        module(lambda self, x: self.cells(x)[0][:, -1], cells=torch.nn.LSTM(4, 5, proj_size=2, batch_first=True)),
        (3, 4),
        ValueError,
        "proj_size must be 0, got 2",
    ),
    "cell state": (
        module(lambda self, x: self.cells(x)[1][1][-1] * 2, cells=LSTM),
        (3, 4),
        ValueError,
        "the state c_n of an LSTM is not supported",
    ),
    "lower state": (
        module(lambda self, x: self.cells(x)[1][0], cells=torch.nn.GRU(4, 5, 2, batch_first=True)),
        (3, 4),
        ValueError,
        "only the states of the last layer are supported",
    ),
    "time first": (
        module(lambda self, x: self.cells(x)[0][:, -1], cells=torch.nn.GRU(4, 5)),
        (3, 4),
        ValueError,
        "expected (T, N, features), got (N, 3, 4); set batch_first",
    ),
    "initial state": (
        module(
            lambda self, x: self.cells(x, torch.zeros(1, x.size(0), 5) + 1)[1][-1],
            cells=torch.nn.GRU(4, 5, batch_first=True),
        ),
        (3, 4),
        ValueError,
        "the initial state must be zero",
    ),
    "other type": (
        module(lambda self, x: x.to(torch.float64)),
        (4,),
        ValueError,
        "it turns the numbers to torch.float64",
    ),
    "not finite": (
        module(lambda self, x: x + self.nan, nan=torch.nn.Parameter(torch.full((4,), torch.nan))),
        (4,),
        ValueError,
        "NaN or infinity",
    ),
    "division": (module(lambda self, x: 1 / (x + 1)), (4,), ValueError, "only a division by a constant is supported"),
    "indices": (module(lambda self, x: x[:, [2, 0]]), (4,), ValueError, "an index must be made of integers and slices"),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_why(case):
    source, shape, kind, text = REFUSED[case]
    with pytest.raises(kind, match=re.escape(text)):
        advcore.from_torch(source, shape)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"layout": "CHW"}, "layout must be 'NCHW' or 'NHWC', got 'CHW'"),
        ({"layout": "NHWC"}, "example_shape must be (H, W, C) for layout 'NHWC', got (4,)"),
        ({"std": 0.0}, "std must be greater than 0, got 0"),
        ({"mean": (0.1, 0.2)}, "expected 2 channels a sample, got (4,)"),
    ],
)
def test_options_are_checked(options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        advcore.from_torch(LINEAR, (4,), **options)


def test_a_module_that_hides_something_from_the_trace_is_found_out():
    hidden = torch.nn.Sequential(torch.nn.Linear(4, 3)).eval()
    hidden[0].register_forward_hook(lambda module, inputs, output: output + 1)
    with pytest.raises(
        ValueError, match=re.escape("the imported network's logits differ from those of Sequential by 1")
    ):
        advcore.from_torch(hidden, (4,))


def test_numpy_shapes_are_taken():
    assert advcore.from_torch(LINEAR, tuple(np.array([4]))).output_shape((4,)) == (3,)


def test_what_works_in_place_on_inputs_that_are_used_again_is_found_out():
    net = module(lambda self, x: self.last(self.relu(x) + x), relu=torch.nn.ReLU(inplace=True), last=LINEAR)
    with pytest.raises(ValueError, match="logits differ from those of Made"):
        advcore.from_torch(net, (4,))


def test_logits_that_want_a_gradient_are_compared_too():
    def forward(self, x):
        with torch.enable_grad():
            return self.last(x)

    assert advcore.from_torch(module(forward, last=LINEAR), (4,)).imported.largest_difference < 1e-6
