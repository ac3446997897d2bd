"""Matrix product and linear: sizes straddle the register blocks (6, 14 rows; 8, 16, 32 columns; 256 terms)."""

from advcore._cases.case import Case

_SHAPES = [
    (1, 1, 1),
    (3, 17, 5),
    (14, 32, 256),
    (15, 33, 257),
    (29, 7, 513),
    (2, 300, 64),
    (253, 65, 31),
    (1, 1000, 300),
    (4, 33, 300),
    (5, 20, 8),
]


def _linear(n: int, o: int, i: int) -> list[Case]:
    return [
        Case("linear", {"input": (n, i), "weight": (o, i), "bias": (o,)}, {"activation": "relu"}, terms=i),
        Case("linear", {"input": (n, i), "weight": (o, i)}, terms=i),
        Case("linear_input_grad", {"grad_output": (n, o), "weight": (o, i)}, terms=o),
        Case("linear_weight_grad", {"grad_output": (n, o), "input": (n, i)}, terms=n),
        Case("matmul", {"a": (n, i), "b": (i, o)}, terms=i),
    ]


CASES = [
    *(case for shape in _SHAPES for case in _linear(*shape)),
    Case("matmul", {"a": (7,), "b": (7,)}, terms=7),
    Case("matmul", {"a": (7,), "b": (7, 5)}, terms=7),
    Case("matmul", {"a": (5, 7), "b": (7,)}, terms=7),
    Case("matmul", {"a": (2, 1, 5, 7), "b": (3, 7, 9)}, terms=7),
    Case("matmul", {"a": (5, 0), "b": (0, 4)}),
    Case("linear", {"input": (2, 3, 5), "weight": (4, 5), "bias": (4,)}, terms=5),
    Case("linear", {"input": (0, 5), "weight": (4, 5)}, terms=5),
    *(
        Case("matmul", {"a": (n, n), "b": (n, n)}, terms=n, bench=True, label=f"square{n}")
        for n in (256, 512, 1024, 2048)
    ),
    *(
        Case("linear", {"input": (n, i), "weight": (o, i), "bias": (o,)}, terms=i, bench=True, label=f"{n}x{i}x{o}")
        for n, i, o in ((1, 1024, 1000), (16, 1024, 1000), (128, 1024, 1000), (512, 1024, 1000), (128, 9216, 4096))
    ),
]
