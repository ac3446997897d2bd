"""Convolution: extents straddle registers and blocks; every option alone and with others; published layer shapes."""

from __future__ import annotations

import math
from typing import Any

from advcore._cases.case import Case

Options = dict[str, Any]


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _output(size: tuple[int, ...], weight: tuple[int, ...], options: Options) -> tuple[int, ...]:
    """The output's shape, by PyTorch's formula."""
    padding = options.get("padding", 0)
    if padding == "same":
        return (*size[:-3], weight[0], *size[-2:])
    if padding == "valid":
        padding = 0
    axes = zip(
        size[-2:],
        weight[2:],
        _pair(options.get("stride", 1)),
        _pair(padding),
        _pair(options.get("dilation", 1)),
        strict=True,
    )
    return (*size[:-3], weight[0], *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes))


def _directions(
    size: tuple[int, ...], weight: tuple[int, ...], options: Options, label: str = "", *, gradients: bool = True
) -> list[Case]:
    """The forward direction with bias (and, unless it is timed, activation) and the two gradients."""
    bench = bool(label)
    output = _output(size, weight, options)
    terms = math.prod(weight[1:])
    arrays = {"input": size, "weight": weight, "bias": (weight[0],)}
    if bench:
        cases = [Case(op, arrays, options, terms, bench=True, label=label) for op in ("conv2d", "PackedConv2d")]
    else:
        cases = [Case("conv2d", arrays, options | {"activation": "relu"}, terms)]
    if gradients:
        cases += [
            Case(
                "conv2d_input_grad",
                {"weight": weight, "grad_output": output},
                {"input_size": size} | options,
                weight[0] // options.get("groups", 1) * weight[2] * weight[3],
                bench=bench,
                label=label,
            ),
            Case(
                "conv2d_weight_grad",
                {"input": size, "grad_output": output},
                {"weight_size": weight} | options,
                math.prod(size[:-3]) * output[-2] * output[-1],
                bench=bench,
                label=label,
            ),
        ]
    return cases


_SWEEP: list[tuple[tuple[int, ...], tuple[int, ...], Options]] = [
    ((1, 1, 9, 9), (1, 1, 3, 3), {}),
    ((3, 3, 7, 11), (17, 3, 3, 3), {"padding": 1}),
    ((1, 33, 5, 8), (17, 33, 1, 1), {}),
    ((3, 17, 6, 6), (33, 17, 1, 1), {"stride": 2}),
    ((2, 3, 9, 13), (3, 3, 1, 7), {"padding": (0, 3)}),
    ((2, 3, 13, 9), (3, 3, 7, 1), {"padding": (3, 0)}),
    ((1, 33, 10, 18), (15, 33, 3, 3), {"padding": 1}),
    ((2, 5, 17, 33), (14, 5, 3, 3), {"padding": 1}),
    ((1, 2, 40, 50), (29, 2, 5, 5), {"padding": 2}),
    ((3, 3, 12, 17), (5, 3, 3, 3), {"stride": 2, "padding": 1}),
    ((3, 3, 12, 17), (5, 3, 3, 3), {"stride": (3, 2), "padding": (1, 2)}),
    ((2, 3, 23, 40), (7, 3, 5, 5), {"stride": 3, "padding": 3}),
    ((2, 3, 37, 70), (9, 3, 11, 11), {"stride": 4, "padding": 2}),
    ((1, 3, 16, 16), (5, 3, 3, 3), {"dilation": 2}),
    ((2, 3, 16, 19), (5, 3, 3, 3), {"dilation": 2, "stride": 2, "padding": 2}),
    ((2, 3, 16, 19), (5, 3, 3, 4), {"dilation": (2, 3), "stride": (3, 2), "padding": (0, 3)}),
    ((1, 2, 20, 20), (3, 2, 3, 3), {"dilation": 4, "stride": 6, "padding": 3}),
    ((2, 3, 9, 9), (3, 3, 2, 2), {"stride": 3}),
    ((2, 6, 8, 9), (4, 3, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 8, 8, 9), (12, 2, 3, 3), {"groups": 4, "padding": 1, "stride": 2}),
    ((3, 17, 7, 9), (17, 1, 3, 3), {"groups": 17, "padding": 1}),
    ((2, 3, 7, 9), (6, 1, 5, 5), {"groups": 3, "padding": 2, "stride": 2}),
    ((2, 3, 8, 9), (4, 3, 2, 4), {"padding": "same"}),
    ((2, 3, 8, 9), (4, 3, 4, 3), {"padding": "same", "dilation": (1, 2)}),
    ((2, 3, 8, 9), (4, 3, 3, 3), {"padding": "valid", "stride": 2}),
    ((3, 3, 5, 6), (17, 3, 9, 8), {"padding": (2, 1)}),
    ((40, 3, 2, 2), (33, 3, 2, 2), {}),
    ((20, 33, 3, 3), (65, 33, 3, 3), {"padding": 1}),
    ((3, 70, 4, 5), (255, 70, 3, 3), {"padding": 1}),
    ((70, 1, 8, 8), (8, 1, 3, 3), {}),
    ((3, 17, 4, 31), (33, 17, 3, 3), {"padding": 1}),
    ((2, 12, 7, 6), (13, 12, 3, 3), {}),
    ((2, 12, 7, 6), (32, 12, 3, 3), {"padding": 1}),
    ((2, 24, 13, 11), (40, 12, 3, 3), {"groups": 2, "padding": 2}),
    # Single taps on small planes: one sample and several, blocks of channels, rows that fill no register.
    ((1, 300, 7, 7), (70, 300, 1, 1), {}),
    ((3, 34, 9, 11), (300, 17, 1, 1), {"groups": 2}),
    # Planes one by one: rows of many registers, of few, and of borders alone.
    ((1, 4, 9, 70), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    ((2, 3, 9, 70), (6, 1, 3, 5), {"groups": 3, "padding": (1, 2), "stride": 2}),
    ((2, 5, 20, 35), (5, 1, 3, 3), {"groups": 5, "dilation": 2, "padding": 3}),
    ((130, 2, 4, 5), (2, 1, 3, 3), {"groups": 2, "padding": 1}),
    ((1, 3, 4, 3), (3, 1, 3, 7), {"groups": 3, "padding": 3}),
    ((1, 3, 5, 4), (3, 1, 5, 5), {"groups": 3, "padding": 5, "stride": 2, "dilation": 2}),
    # Slabs: rows longer than a tile, many samples in one, strides that leave residues unseen, few outputs, many taps.
    ((1, 2, 5, 600), (3, 2, 3, 3), {"padding": 1}),
    ((9, 3, 5, 4), (7, 3, 3, 3), {"padding": 1, "stride": 2}),
    ((2, 40, 11, 19), (5, 40, 3, 1), {"stride": 3, "padding": (1, 0)}),
    ((2, 300, 6, 7), (5, 300, 1, 1), {"stride": 2}),
    ((1, 5, 40, 110), (1, 5, 3, 3), {"padding": 1}),
    ((1, 5, 12, 110), (2, 5, 5, 3), {"padding": 2, "dilation": (1, 2)}),
    ((1, 1, 5, 90), (2, 1, 1, 70), {"padding": (0, 2)}),
    ((2, 7, 9, 9), (9, 7, 2, 2), {"stride": 3, "dilation": 3, "padding": 2}),
    ((1, 12, 6, 9), (12, 12, 3, 3), {"padding": 3}),
    ((1, 270, 9, 8), (100, 270, 3, 3), {"padding": 1}),
    ((9, 13, 19, 21), (14, 13, 3, 3), {"padding": (0, 1)}),
    ((40, 16, 14, 15), (16, 16, 3, 3), {"padding": 1}),
    ((1, 12, 9, 9), (530, 12, 3, 3), {"padding": 1}),
    ((3, 17, 4, 31), (33, 17, 3, 3), {"padding": 1, "algorithm": "direct"}),
    ((1, 270, 9, 8), (100, 270, 3, 3), {"padding": 1, "algorithm": "direct"}),
    # Winograd's 5 x 5: tiles of 2 x 2, cut at the border, with few and many channels.
    ((2, 13, 9, 14), (17, 13, 5, 5), {"padding": 2}),
    ((1, 12, 11, 8), (12, 12, 5, 5), {"padding": 5}),
    ((20, 24, 7, 6), (70, 12, 5, 5), {"groups": 2, "padding": 1}),
    ((1, 270, 9, 8), (100, 270, 5, 5), {"padding": 2}),
    # Weight gradients of more taps and more outputs than an item takes, of small planes of many samples.
    ((2, 70, 5, 6), (9, 70, 3, 3), {"algorithm": "direct"}),
    ((3, 2, 20, 25), (300, 2, 2, 2), {}),
    ((90, 3, 3, 3), (270, 3, 2, 2), {"padding": 1, "stride": 2}),
    ((5, 600, 3, 4), (20, 600, 1, 1), {}),
    ((1, 1, 300, 3), (3, 1, 290, 2), {}),
    ((0, 3, 8, 9), (4, 3, 3, 3), {}),
    ((0, 16, 8, 9), (16, 16, 3, 3), {}),
    ((3, 8, 9), (4, 3, 3, 3), {"padding": 1}),
]

# name: channels, extent, output channels, kernel, stride, padding
_LAYERS = {
    "alex1": (3, 224, 64, 11, 4, 2),
    "alex2": (64, 27, 192, 5, 1, 2),
    "alex3": (192, 13, 384, 3, 1, 1),
    "alex5": (256, 13, 256, 3, 1, 1),
    "vgg1_1": (3, 224, 64, 3, 1, 1),
    "vgg1_2": (64, 224, 64, 3, 1, 1),
    "vgg2_2": (128, 112, 128, 3, 1, 1),
    "vgg3_2": (256, 56, 256, 3, 1, 1),
    "vgg4_2": (512, 28, 512, 3, 1, 1),
    "vgg5_1": (512, 14, 512, 3, 1, 1),
    "res_stem": (3, 224, 64, 7, 2, 3),
    "res2_1x1": (64, 56, 256, 1, 1, 0),
    "res2_3x3": (64, 56, 64, 3, 1, 1),
    "res3_s2": (128, 56, 128, 3, 2, 1),
    "res3_1x1": (512, 28, 128, 1, 1, 0),
    "res3_3x3": (128, 28, 128, 3, 1, 1),
    "res4_3x3": (256, 14, 256, 3, 1, 1),
    "res5_3x3": (512, 7, 512, 3, 1, 1),
    "res5_1x1": (512, 7, 2048, 1, 1, 0),
    "mnist1": (1, 28, 32, 3, 1, 0),
    "mnist2": (32, 26, 32, 3, 1, 0),
    "mnist3": (32, 12, 64, 3, 1, 0),
    "mnist4": (64, 10, 64, 3, 1, 0),
    "cifar1": (3, 32, 64, 3, 1, 0),
    "cifar2": (64, 30, 64, 3, 1, 0),
    "cifar4": (128, 12, 128, 3, 1, 0),
}


def _bench() -> list[Case]:
    cases = []
    for name, (c, extent, k, kernel, stride, padding) in _LAYERS.items():
        large = 128 if name.startswith(("mnist", "cifar")) else 8
        for batch in (1, large):
            size, weight = (batch, c, extent, extent), (k, c, kernel, kernel)
            options = {"stride": stride, "padding": padding}
            cases += _directions(size, weight, options, f"{name}/b{batch}", gradients=batch == large)
    return cases


CASES = [
    *(case for size, weight, options in _SWEEP for case in _directions(size, weight, options)),
    Case("conv2d", {"input": (1, 3, 8, 9), "weight": (4, 3, 3, 3)}, {"algorithm": "direct"}, 27),
    Case("conv2d", {"input": (2, 3, 8, 9), "weight": (4, 3, 3, 3), "bias": (4,)}, {"activation": "gelu"}, 27),
    *_bench(),
]
