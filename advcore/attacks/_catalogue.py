"""The attacks there are, one row each."""

from __future__ import annotations

_FIELDS = ("name", "norm", "access", "targeting", "cost")
_ROWS = (
    ("fgsm", "linf", "gradient", "untargeted, targeted", "1 gradient"),
    ("pgd", "linf, l2", "gradient", "untargeted, targeted", "steps x restarts gradients, less where it succeeds early"),
    ("zoo", "l2 (minimal)", "scores", "untargeted, targeted", "(2 x coordinates + 1) x steps queries a constant"),
)


def available() -> list[dict[str, str]]:
    """Return the attacks, each as a dict.

    Returns
    -------
    list of dict
        "name" (of the function in advcore.attacks); "norm"; "access": what it needs of the model, "gradient"
        (white-box) or "scores" (black-box: logits or probabilities); "targeting"; "cost" a sample.
    """
    return [dict(zip(_FIELDS, row, strict=True)) for row in _ROWS]
