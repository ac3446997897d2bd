"""Random self-ensemble on MNIST: attacked by single draws of its noise and by averages over it, sample by sample.

Usage: python examples/self_ensemble.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits and no folder, in seconds.
Writes OUT/self_ensemble.json, .md and .png.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from study import Report, arguments, load, percent

from advcore import attacks, defenses, models, nn


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed = load(chosen), chosen.seed
    epochs, rate, samples, steps, draws = (12, 5e-3, 100, 10, 10) if chosen.quick else (3, 3e-3, 300, 20, 20)
    grid = [0.15] if chosen.quick else [0.15, 0.2, 0.25]
    settings = {
        **{"data": digits.name, "network": "wong_mnist", "epochs": epochs, "sigma": "0.2, then 0.1", "passes": 10},
        **{"optimizer": f"Adam, lr {rate}, cosine schedule", "steps": steps, "draws": draws, "seed": seed},
    }
    report = Report(
        "self_ensemble",
        "Random self-ensemble",
        settings,
        "Liu et al. train VGG-16 and ResNeXt on CIFAR-10 and attack by Carlini and Wagner's method with one draw of "
        "the noise a step; here a small network on MNIST, and PGD on the margin. Success is decided by 100 fresh "
        "passes.",
    )
    options: dict[str, Any] = {"epochs": epochs, "schedule": "cosine", "seed": seed}
    plain = models.wong_mnist(digits.input_shape, digits.classes, seed=seed)
    nn.fit(plain, digits.x_train, digits.y_train, optimizer=nn.Adam(rate), **options)
    base = models.wong_mnist(digits.input_shape, digits.classes, seed=seed)
    ensemble = defenses.SelfEnsemble(base, seed=seed)
    train = (ensemble.network, digits.x_train, digits.y_train)
    report.timed("training", nn.fit, *train, optimizer=nn.Adam(rate), **options)

    x, y = digits.x_test[:samples], digits.y_test[:samples]
    vote = report.timed("votes of all test images", ensemble.vote, digits.x_test)
    right = vote.prediction == digits.y_test
    report.table(
        "Clean",
        [
            {
                "plain network, %": percent(nn.accuracy(plain, digits.x_test, digits.y_test)),
                "one pass, %": percent((ensemble.logits(digits.x_test).argmax(axis=1) == digits.y_test).mean()),
                "vote of 10, %": percent(right.mean()),
                "confidence where right": float(vote.confidence[right].mean()),
                "confidence where wrong": float(vote.confidence[~right].mean()),
                "agreement where right": float(vote.agreement[right].mean()),
                "agreement where wrong": float(vote.agreement[~right].mean()),
            }
        ],
    )

    rows, broken = [], {}
    for eps in grid:
        climb = {"eps": eps, "steps": steps, "loss": "margin", "early_stop": False, "seed": seed}
        undefended = attacks.pgd(plain, x, y, **climb)
        single = report.timed(f"single draws, eps {eps}", attacks.pgd, ensemble, x, y, **climb)
        averaged = report.timed(
            f"expectation, eps {eps}", attacks.pgd, attacks.expectation(ensemble, draws=draws), x, y, **climb
        )
        broken[eps] = (undefended, single, averaged)
        rows.append(
            {
                "eps": eps,
                "plain network": percent(undefended.robust_accuracy),
                "single draws": percent(single.robust_accuracy),
                "expectation": percent(averaged.robust_accuracy),
                "broken by expectation alone": int((averaged.success & ~single.success).sum()),
                "by single draws alone": int((single.success & ~averaged.success).sum()),
                "undecided votes": int((averaged.status == "undecided").sum()),
                "standard error of the gradient": float(np.nanmedian(averaged.gradient_error)),
            }
        )
    report.table("Accuracy left, %, and images that only one of the attacks breaks", rows)
    report.finding(
        "An attack that draws the noise once a step is not adaptive: averaging the gradient over draws breaks "
        f"{sum(row['broken by expectation alone'] for row in rows)} images that it leaves, and misses "
        f"{sum(row['by single draws alone'] for row in rows)} that it breaks."
    )

    def draw(axes: Any) -> None:
        for index, label in enumerate(("plain network", "single draws", "expectation")):
            axes.plot(grid, [percent(broken[eps][index].robust_accuracy) for eps in grid], marker="o", label=label)
        axes.set(xlabel="eps (Linf)", ylabel="accuracy left, %")
        axes.legend()

    return report.write(chosen.output, draw)


if __name__ == "__main__":
    main()
