"""Adversarial training on MNIST: PGD inside the loop at Linf 0.3, against a network trained on clean images.

Usage: python examples/adversarial_training.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits, eps 0.15 and no folder, in seconds.
Writes OUT/adversarial_training.json, .md and .png, and the two networks; a training that was stopped goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from study import Report, arguments, load, percent

from advcore import attacks, defenses, models, nn
from advcore.nn import schedules


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed = load(chosen), chosen.seed
    epochs, batch, samples, restarts, long = (10, 64, 120, 2, 60) if chosen.quick else (8, 128, 1000, 10, 100)
    eps, steps, rate = (0.15, 4, 1e-2) if chosen.quick else (0.3, 10, 3e-3)
    settings = {
        **{"data": digits.name, "network": "wong_mnist", "eps": eps, "epochs": epochs, "batch_size": batch},
        **{"inner steps": steps, "inner step size": eps / 6, "eps warm-up": 0.25, "seed": seed},
        "optimizer": f"Adam, lr {rate}, a tenth of warm-up, then cosine",
    }
    report = Report(
        "adversarial_training",
        "Adversarial training",
        settings,
        "Madry et al. train conv5x5-32, conv5x5-64, fc 1024 for 100,000 batches of 50 with 40 steps of 0.01; here a "
        "network of a tenth of the size sees fewer batches and steps, eps grows over the first quarter, and the rate "
        "falls along a cosine.",
    )
    chosen.output.mkdir(parents=True, exist_ok=True)

    def options() -> dict[str, Any]:
        schedule = schedules.Warmup(part=0.1, then="cosine")
        return {"epochs": epochs, "batch_size": batch, "optimizer": nn.Adam(rate), "schedule": schedule, "seed": seed}

    plain, robust = (models.wong_mnist(digits.input_shape, digits.classes, seed=seed) for _ in range(2))
    report.timed("plain training", nn.fit, plain, digits.x_train, digits.y_train, **options())
    try:
        history = defenses.adversarial_training(
            robust,
            digits.x_train,
            digits.y_train,
            eps=eps,
            steps=steps,
            step_size=eps / 6,
            warmup=0.25,
            checkpoint=chosen.output / "adversarial_training.checkpoint",
            callback=lambda epoch: print(epoch, flush=True),
            **options(),
        )
    except ValueError as error:  # the checkpoint is of another seed or form of the study
        raise SystemExit(f"{error}. Or give another folder as --output") from None
    report.seconds["adversarial training"] = history.seconds
    for name, network in (("plain", plain), ("robust", robust)):
        network.save(chosen.output / f"{name}.safetensors")

    x, y = digits.x_test[:samples], digits.y_test[:samples]
    tried = {
        "clean": None,
        "FGSM": lambda model: attacks.fgsm(model, x, y, eps=eps),
        "PGD-40": lambda model: attacks.pgd(model, x, y, eps=eps, steps=40, step_size=eps / 30),
        f"PGD-{long}, {restarts} restarts": lambda model: strongest(model, "cross_entropy"),
        f"PGD-{long}, {restarts} restarts, margin": lambda model: strongest(model, "margin"),
    }
    if not chosen.quick:
        tried["AutoAttack"] = lambda model: attacks.autoattack(model, x, y, eps=eps, seed=seed)

    def strongest(model: nn.Network, loss: str) -> Any:
        step = {"steps": long, "step_size": eps / 30, "restarts": restarts, "loss": loss}
        return attacks.pgd(model, x, y, eps=eps, seed=seed, **step)

    rows, masked = [], 0
    for name, attack in tried.items():
        row: dict[str, Any] = {"attack": name}
        for label, network in (("plain", plain), ("robust", robust)):
            if attack is None:
                row[f"{label}, accuracy left, %"] = percent(nn.accuracy(network, digits.x_test, digits.y_test))
                continue
            result = report.timed(f"{name}, {label}", attack, network)
            row[f"{label}, accuracy left, %"] = percent(result.robust_accuracy)
            masked += int((result.status == "masked").sum()) if label == "robust" else 0
        rows.append(row)
    report.table("Accuracy left (clean: all test images)", rows)

    grid = np.linspace(0, 1, 11) if not chosen.quick else np.array([0, 0.05, 0.1, 0.15, 0.25, 0.5, 1])
    few = slice(0, samples // 5)
    curves: dict[str, list[float]] = {}
    for label, network in (("plain", plain), ("robust", robust)):
        runs = [attacks.pgd(network, x[few], y[few], eps=float(e), steps=40, loss="margin") for e in grid]
        curves[label] = [percent(run.robust_accuracy) for run in runs]
    by_eps = zip(grid.tolist(), *curves.values(), strict=True)
    report.table("Accuracy left by eps", [{"eps": e, "plain": a, "robust": b} for e, a, b in by_eps])
    vanished = int(defenses.vanished_gradients(robust, x, y).sum())
    falling = all(a >= b for a, b in zip(curves["robust"], curves["robust"][1:], strict=False))
    more = abs(rows[2]["robust, accuracy left, %"] - rows[3]["robust, accuracy left, %"])
    report.finding(
        f"Not masked: of {samples} images {vanished} have no gradient and {masked} attacks met none; the accuracy left "
        f"{'falls' if falling else 'does not fall'} with eps, to {curves['robust'][-1]}% at 1; PGD finds more than "
        f"FGSM, and more steps and restarts change {more:.2f} points."
    )

    def draw(axes: Any) -> None:
        for label, curve in curves.items():
            axes.plot(grid, curve, marker="o", label=label)
        axes.axvline(eps, color="grey", linestyle=":")
        axes.set(xlabel="eps (Linf)", ylabel="accuracy left by PGD-40, %")
        axes.legend()

    return report.write(chosen.output, draw)


if __name__ == "__main__":
    main()
