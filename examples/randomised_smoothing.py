"""Randomised smoothing on MNIST: certified accuracy against the L2 radius, with and without noise in training.

And what the noise in training does without the vote: PGD on the networks themselves.

Usage: python examples/randomised_smoothing.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits, fewer draws and no folder, in seconds.
Writes OUT/randomised_smoothing.json, .md and .png.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from study import Report, arguments, load, percent

from advcore import attacks, defenses, models, nn


def left(network: nn.Network, x: Any, y: Any, seed: int) -> dict[str, float]:
    """Return the accuracy in % that PGD on the margin leaves of a network."""
    found = {"clean": percent(nn.accuracy(network, x, y))}
    for norm, name, budgets in (("l2", "L2", (0.5, 1.0, 2.0)), ("linf", "Linf", (0.1, 0.2, 0.3))):
        for eps in budgets:
            result = attacks.pgd(network, x, y, norm=norm, eps=eps, steps=40, loss="margin", seed=seed)
            found[f"{name} {eps}"] = percent(result.robust_accuracy)
    return found


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed = load(chosen), chosen.seed
    epochs, rate, samples, draws = (12, 5e-3, 60, 500) if chosen.quick else (3, 3e-3, 500, 10_000)
    radii = np.round(np.linspace(0, 2, 21), 2).tolist()
    report = Report(
        "randomised_smoothing",
        "Randomised smoothing",
        {"data": digits.name, "network": "wong_mnist", "epochs": epochs, "images": samples, "n0": 100, "n": draws}
        | {"alpha": 0.001, "optimizer": f"Adam, lr {rate}, cosine schedule", "seed": seed},
        "Cohen et al. certify CIFAR-10 and ImageNet with residual networks; the procedure, n0 and alpha are theirs, "
        "n is smaller.",
    )
    x, y = digits.x_test[:samples], digits.y_test[:samples]
    curves, rows, attacked, bare = {}, [], [], []
    for sigma in (0.25,) if chosen.quick else (0.25, 0.5):
        for trained in (0.0, sigma) if sigma == 0.25 else (sigma,):
            network = models.wong_mnist(digits.input_shape, digits.classes, seed=seed)
            options = {"epochs": epochs, "optimizer": nn.Adam(rate), "schedule": "cosine", "seed": seed}
            defenses.noise_training(network, digits.x_train, digits.y_train, sigma=trained, **options)
            name = f"sigma {sigma}, {'trained with the noise' if trained else 'trained without noise'}"
            bare.append({"noise in training": trained} | left(network, x, y, seed))
            smoothed = defenses.RandomisedSmoothing(network, sigma=sigma, seed=seed)
            made = report.timed(name, smoothed.certify, x, n=draws)
            curves[name] = [percent(share) for share in made.accuracy(y, radii)]
            rows.append(
                {
                    "classifier": name,
                    "clean accuracy of the base": percent(nn.accuracy(network, digits.x_test, digits.y_test)),
                    "abstains": percent((made.prediction == -1).mean()),
                    **{f"certified at {radii[k]}": curves[name][k] for k in (0, 3, 5, 10, 15)},
                    "mean radius": float(made.radius.mean()),
                }
            )
        few = slice(0, 30 if chosen.quick else 100)
        aware = attacks.expectation(smoothed, draws=16)
        for eps in (0.5, 1.0):
            climb = {"norm": "l2", "eps": eps, "steps": 10, "loss": "margin", "early_stop": False, "seed": seed}
            examples = attacks.pgd(aware, x[few], y[few], **climb).examples
            after = smoothed.predict(examples, n=1000)
            certified = (made.prediction[few] == y[few]) & (made.radius[few] >= eps)
            attacked.append(
                {
                    "sigma": sigma,
                    "L2 eps": eps,
                    "certified": percent(certified.mean()),
                    "left by PGD that averages over the noise": percent((after == y[few]).mean()),
                    "certificates broken": int((after[certified] != y[few][certified]).sum()),
                }
            )
    report.table("Certified accuracy by L2 radius, %", rows)
    report.table("An attack that knows the noise, %", attacked)
    report.table("PGD on the network itself, without the vote: accuracy left, %", bare)
    broken, (without, trained) = sum(row["certificates broken"] for row in attacked), rows[:2]
    report.finding(
        f"{broken} certificates were broken by the attack; without noise in training {without['certified at 0.5']}% "
        f"are certified at 0.5, with it {trained['certified at 0.5']}%."
    )
    plain, *noisy = bare
    report.finding(
        f"Without the vote PGD in L2 at 0.5 leaves {plain['L2 0.5']}% after training without noise, and "
        + ", ".join(f"{row['L2 0.5']}% with sigma {row['noise in training']}" for row in noisy)
        + f"; in Linf at 0.2 {plain['Linf 0.2']}%, and "
        + ", ".join(f"{row['Linf 0.2']}%" for row in noisy)
        + "."
    )

    def draw(axes: Any) -> None:
        for label, curve in curves.items():
            axes.step(radii, curve, where="post", label=label)
        axes.set(xlabel="L2 radius", ylabel="certified accuracy, %")
        axes.legend(fontsize=7)

    return report.write(chosen.output, draw)


if __name__ == "__main__":
    main()
