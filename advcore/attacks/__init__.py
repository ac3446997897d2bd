"""Attacks: search for inputs close to the given ones that a model gets wrong.

An attack is a function ``attack(model, x, y, *, ...) -> AttackResult``. A model is anything with ``logits(x)``; with
``vjp(x, cotangent)`` too it is white-box; torch modules and plain callables are taken as well. ``y`` are the true
labels, always; ``targets`` makes an attack targeted. No attack certifies itself: its examples are projected into the
box and the budget, and judged by asking the model afresh. A sample's result does not depend on its batch, as long as
the model's answers do not.
"""

from advcore.attacks._catalogue import available
from advcore.attacks.fgsm import fgsm
from advcore.attacks.pgd import pgd
from advcore.attacks.result import AttackResult
from advcore.attacks.step_audit import StepAudit, audit_step
from advcore.attacks.zoo import zoo

__all__ = ["AttackResult", "StepAudit", "audit_step", "available", "fgsm", "pgd", "zoo"]
