"""Networks whose gradients mislead: what textbook attacks leave of them, and what these attacks do.

Usage: python benchmarks/masked_gradients.py FOLDER [--digits 1000], FOLDER with MNIST's four IDX files; --quick takes
scikit-learn's digits. One network each is trained with single-step FGSM (zero start, alpha = eps), with a hinge loss
that ends at zero, by distillation at T = 100, and with inputs of 8 levels. FGSM and PGD climb the training's loss by
the exact gradient, as frameworks give it; APGD climbs the difference of logits ratio, through the rounding.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from advcore import attacks, data, defenses, models, nn
from advcore.nn import losses, schedules

LEVELS_BITS = 3


def climb(model: Any, x: Any, y: Any, loss: Callable[..., Any], eps: float, steps: int) -> float:
    """Follow the sign of the exact gradient from the input on; return the share that is left, in percent."""
    current, size = x.copy(), np.float32(eps if steps == 1 else 2.5 * eps / steps)
    for _ in range(steps):
        _, cotangent = loss(model.logits(current), y)
        current += size * np.sign(model.vjp(current, cotangent))
        current = np.clip(np.clip(current, x - np.float32(eps), x + np.float32(eps)), 0, 1)
    return 100 * float((model.logits(current).argmax(axis=1) == y).mean())


def networks(digits: data.Dataset, eps: float, epochs: int, rate: float) -> dict[str, tuple[Any, Any, Any]]:
    """Return name -> (model with exact gradients, model for attacks that know better, the training's loss)."""

    def fresh(seed: int = 0) -> nn.Network:
        return models.wong_mnist(digits.input_shape, digits.classes, seed=seed)

    train = (digits.x_train, digits.y_train)
    options: dict[str, Any] = {"epochs": epochs, "optimizer": nn.Adam(rate), "schedule": "cosine"}
    single, hinge, plain, teacher, student = fresh(), fresh(), fresh(), fresh(), fresh()
    rising: dict[str, Any] = {
        "warmup": 0.5,
        "schedule": schedules.Warmup(part=0.1, then="cosine"),
    }  # or it learns nothing
    one_step = {"eps": eps, "steps": 1, "step_size": eps, "random_start": False}
    defenses.adversarial_training(single, *train, **one_step, **options | rising)
    nn.fit(hinge, *train, loss="multiclass_hinge", **options)
    nn.fit(plain, *train, **options)
    defenses.distillation(teacher, student, *train, temperature=100.0, lr=rate, epochs=epochs, schedule="cosine")
    exact, passed = (defenses.Squeezed(plain, defenses.BitDepth(LEVELS_BITS), exact=flag) for flag in (True, False))
    return {
        "single-step FGSM in training": (single, single, losses.cross_entropy),
        "hinge loss of zero": (hinge, hinge, losses.multiclass_hinge),
        "distilled at T = 100": (student, student, losses.cross_entropy),
        "inputs of 8 levels": (exact, passed, losses.cross_entropy),
    }


def main() -> None:
    """Train, attack and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--digits", type=int, default=1000)
    parser.add_argument("--eps", type=float, default=0.3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if chosen.quick == (chosen.folder is not None):
        parser.error("give the folder with MNIST's files, or --quick")
    digits = data.digits() if chosen.quick else data.idx(chosen.folder)
    x, y = digits.x_test[: chosen.digits], digits.y_test[: chosen.digits]
    print(
        f"Left at Linf {chosen.eps:g} of {len(x)} images, %\n"
        "| network | accuracy | FGSM | PGD-40 | gradient is zero | APGD, DLR | masked |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, (exact, known, loss) in networks(
        digits, chosen.eps, chosen.epochs, 1e-2 if chosen.quick else 3e-3
    ).items():
        accuracy = 100 * float((exact.logits(x).argmax(axis=1) == y).mean())
        gradient = exact.vjp(x, loss(exact.logits(x), y)[1]).reshape(len(x), -1)
        left = [climb(exact, x, y, loss, chosen.eps, steps) for steps in (1, 40)]
        result = attacks.apgd(known, x, y, eps=chosen.eps, loss="dlr")
        numbers = [accuracy, *left, 100 * float((gradient == 0).all(axis=1).mean()), 100 * result.robust_accuracy]
        numbers.append(100 * float((result.status == "masked").mean()))
        print(f"| {name} | {' | '.join(f'{number:.1f}' for number in numbers)} |", flush=True)


if __name__ == "__main__":
    main()
