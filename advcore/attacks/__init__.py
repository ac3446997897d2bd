"""Attacks: search for inputs close to the given ones that a model gets wrong.

An attack is a function ``attack(model, x, y, *, ...) -> AttackResult``. A model is anything with ``logits(x)``; with
``vjp(x, cotangent)`` too it is white-box; torch modules and plain callables are taken as well. ``y`` are the true
labels, always; ``targets`` makes an attack targeted. No attack certifies itself: its examples are projected into the
box and the budget, and judged by asking the model afresh. A sample's result does not depend on its batch, as long as
the model's answers do not.
"""

from advcore.attacks._monitor import Progress
from advcore.attacks._options import Options
from advcore.attacks._registry import available
from advcore.attacks.apgd import apgd
from advcore.attacks.bim import bim
from advcore.attacks.fab import fab
from advcore.attacks.fgm import fgm
from advcore.attacks.fgsm import fgsm
from advcore.attacks.pgd import pgd
from advcore.attacks.result import AttackResult
from advcore.attacks.square import square
from advcore.attacks.zoo import zoo

__all__ = [
    "AttackResult",
    "Options",
    "Progress",
    "apgd",
    "available",
    "bim",
    "fab",
    "fgm",
    "fgsm",
    "pgd",
    "square",
    "zoo",
]
