"""Bit depth and median filters before a classifier: attacks that do not know of them, that meet no gradient, that know.

Usage: python examples/feature_squeezing.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits and no folder, in seconds.
Writes OUT/feature_squeezing.json, .md and .png.
"""

from __future__ import annotations

from typing import Any

from study import Report, arguments, load, percent

from advcore import attacks, defenses, models, nn

SQUEEZERS = {
    "1 bit": (defenses.BitDepth(1),),
    "median 2x2": (defenses.MedianFilter(2),),
    "1 bit, median 2x2": (defenses.BitDepth(1), defenses.MedianFilter(2)),
}


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed = load(chosen), chosen.seed
    epochs, rate, samples, eps = (12, 5e-3, 100, 0.2) if chosen.quick else (3, 3e-3, 300, 0.2)
    report = Report(
        "feature_squeezing",
        "Feature squeezing",
        {"data": digits.name, "network": "wong_mnist", "epochs": epochs, "eps (Linf)": eps, "PGD steps": 40}
        | {"optimizer": f"Adam, lr {rate}, cosine schedule", "seed": seed},
        "Xu et al. detect by the distance of the predictions before and after squeezing; here the squeezed input is "
        "what is classified, by a network trained on clean images.",
    )
    network = models.wong_mnist(digits.input_shape, digits.classes, seed=seed)
    options = {"epochs": epochs, "optimizer": nn.Adam(rate), "schedule": "cosine", "seed": seed}
    report.timed("training", nn.fit, network, digits.x_train, digits.y_train, **options)
    x, y = digits.x_test[:samples], digits.y_test[:samples]
    grid = [0.0, 0.2] if chosen.quick else [0.0, 0.1, 0.2, 0.3]

    def attack(model: Any, eps: float) -> attacks.AttackResult:
        return attacks.pgd(model, x, y, eps=eps, steps=40, seed=seed)

    unaware = {e: attack(network, e).examples for e in grid}
    rows, curves = [], {"no defence": [percent((network.predict(unaware[e]) == y).mean()) for e in grid]}
    for name, squeezers in SQUEEZERS.items():
        model, exact = (defenses.Squeezed(network, *squeezers, exact=flag) for flag in (False, True))
        hidden, aware = attack(exact, eps), report.timed(f"attack on {name}", attack, model, eps)
        rows.append(
            {
                "squeezers": name,
                "clean": percent((model.predict(digits.x_test) == digits.y_test).mean()),
                "attack on the network alone": percent((model.predict(unaware[eps]) == y).mean()),
                "exact gradients": percent(hidden.robust_accuracy),
                "of these masked": percent((hidden.status == "masked").mean()),
                "gradients passed through": percent(aware.robust_accuracy),
            }
        )
        curves[f"{name}, unaware"] = [percent((model.predict(unaware[e]) == y).mean()) for e in grid]
        curves[f"{name}, aware"] = [percent(attack(model, e).robust_accuracy) for e in grid]
    report.table("Accuracy left, %", rows)
    best = max(rows, key=lambda row: row["attack on the network alone"])
    report.finding(
        f"{best['squeezers']}: {best['attack on the network alone']}% are left by an attack on the network alone and "
        f"{best['gradients passed through']}% by one that passes gradients through the squeezers. A rounding's exact "
        f"gradient is 0: {best['of these masked']}% are masked, which is no robustness."
    )

    def draw(axes: Any) -> None:
        for label, curve in curves.items():
            axes.plot(grid, curve, marker="o", label=label, linestyle="--" if "unaware" in label else "-")
        axes.set(xlabel="eps (Linf)", ylabel="accuracy left, %")
        axes.legend(fontsize=7)

    return report.write(chosen.output, draw)


if __name__ == "__main__":
    main()
