"""Defensive distillation on MNIST: what it hides, and three attacks that it does not stop.

Usage: python examples/distillation.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits and no folder, in seconds.
Writes OUT/distillation.json, .md and .png.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from study import Report, arguments, load, percent

from advcore import attacks, defenses, models, nn

TEMPERATURE = 100.0


def follow_the_exact_gradient(network: nn.Network, x: Any, y: Any, eps: float, steps: int = 40) -> Any:
    """PGD as frameworks have it: up cross-entropy's gradient just as it comes out of the network, in float32."""
    current, size = x.copy(), np.float32(2.5 * eps / steps)
    for _ in range(steps):
        current += size * np.sign(network.loss_gradient(current, y))
        current = np.clip(np.clip(current, x - np.float32(eps), x + np.float32(eps)), 0, 1)
    return current


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed = load(chosen), chosen.seed
    epochs, rate, samples, eps = (12, 1e-2, 100, 0.2) if chosen.quick else (3, 3e-3, 500, 0.15)
    settings = {"data": digits.name, "network": "wong_mnist", "temperature": TEMPERATURE, "epochs": epochs}
    report = Report(
        "distillation",
        "Defensive distillation",
        settings | {"optimizer": f"Adam, lr {rate}, cosine schedule", "eps (Linf)": eps, "seed": seed},
        "Papernot et al. attack by saliency maps (JSMA); here PGD in Linf. T is that of those who broke the defence.",
    )
    options: dict[str, Any] = {"epochs": epochs, "schedule": "cosine"}

    def distil(own_seed: int) -> nn.Network:
        pair = [models.wong_mnist(digits.input_shape, digits.classes, seed=own_seed) for _ in range(2)]
        train = (digits.x_train, digits.y_train)
        defenses.distillation(*pair, *train, temperature=TEMPERATURE, lr=rate, seed=own_seed, **options)
        return pair[1]

    plain = models.wong_mnist(digits.input_shape, digits.classes, seed=seed)
    nn.fit(plain, digits.x_train, digits.y_train, optimizer=nn.Adam(rate), seed=seed, **options)
    student = report.timed("both trainings of a distillation", distil, seed)
    copies = {"plain": plain, "distilled": report.timed("the attacker's own distillation", distil, seed + 1)}

    x, y = digits.x_test[:samples], digits.y_test[:samples]
    grid = [0.0, 0.2] if chosen.quick else [0.0, 0.05, 0.1, 0.2, 0.3]
    rows, curves = [], {}
    for name, network in (("plain", plain), ("distilled", student)):
        vanished = defenses.vanished_gradients(network, x, y)
        cooled = defenses.at_temperature(network, TEMPERATURE)
        copied = attacks.pgd(copies[name], x, y, eps=eps, loss="margin", early_stop=False, seed=seed).examples
        examples = {
            "follows cross-entropy's gradient": follow_the_exact_gradient(network, x, y, eps),
            "divides the logits by T": follow_the_exact_gradient(cooled, x, y, eps),
            "climbs the logits' margin": attacks.pgd(network, x, y, eps=eps, loss="margin", seed=seed).examples,
            "transfers": copied if name == "distilled" else None,
        }
        row: dict[str, Any] = {"network": name, "accuracy": percent(nn.accuracy(network, digits.x_test, digits.y_test))}
        row["no gradient"] = percent(vanished.mean())
        for attack, tried in examples.items():
            row[attack] = None if tried is None else percent((network.predict(tried) == y).mean())
        unmoved = vanished & (network.predict(x) == y)
        row["masked"] = percent(unmoved.mean())
        rows.append(row)
        curves[f"{name}, exact gradient"] = [
            percent((network.predict(follow_the_exact_gradient(network, x, y, e)) == y).mean()) for e in grid
        ]
        curves[f"{name}, logits"] = [
            percent(attacks.pgd(network, x, y, eps=e, loss="margin", seed=seed).robust_accuracy) for e in grid
        ]
    report.table("Accuracy left by an attacker who ..., %", rows)
    exact, divided, climbed, _ = (rows[1][attack] for attack in examples)
    report.finding(
        f"The student's softmax at T = 1 is saturated: {rows[1]['no gradient']}% of the images have a gradient of "
        f"exactly 0. An attack that follows it leaves {exact}%, of which {rows[1]['masked']} points are masked and not "
        f"robust: dividing by T leaves {divided}%, climbing the logits {climbed}%, examples made for the attacker's "
        f"own distillation {rows[1]['transfers']}%."
    )

    def draw(axes: Any) -> None:
        for label, curve in curves.items():
            axes.plot(grid, curve, marker="o", label=label, linestyle="--" if "exact" in label else "-")
        axes.set(xlabel="eps (Linf)", ylabel="accuracy left, %")
        axes.legend()

    return report.write(chosen.output, draw)


if __name__ == "__main__":
    main()
