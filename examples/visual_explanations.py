"""Sentences that justify a class: explanations against four baselines, and what a wrong class does to the words.

Usage: python examples/visual_explanations.py --output OUT; with --quick fewer images and short trainings, in seconds.
Writes OUT/visual_explanations.json, .md and .png.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Any

import numpy as np
from explanations import images, tables
from explanations.experiment import MODELS, QUICK, Experiment, Settings
from study import Report, arguments


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given, needs_data=False)
    settings = QUICK if chosen.quick else Settings()
    report = Report(
        "visual_explanations",
        "Visual explanations",
        asdict(settings) | {"seed": chosen.seed, "optimizer": "Adam, cosine schedule"},
        "Hendricks et al. explain 200 kinds of birds (CUB, photographs with 5 sentences each, written by people) with "
        "features of a network trained on ImageNet and 1,000 units a layer; here images and sentences are generated "
        "and all is small. The condition is the classifier's distribution over the classes, in their code a vector for "
        "the predicted class made of the description model's states. The mean reward of a batch is subtracted from "
        "each, which their code leaves to an option; its weight was chosen on another seed's data. METEOR matches "
        "equal words alone, CIDEr is CIDEr-D, and no bird experts rank the sentences.",
    )
    experiment = Experiment(settings, report, chosen.seed)
    written = {name: experiment.write(name) for name in MODELS}
    tables.classifier_table(experiment)
    tables.score_table(experiment, written)
    tables.weight_table(experiment)
    tables.words_table(experiment, written)
    wrong, conditions = tables.wrong_classes(experiment)
    tables.wrong_class_table(experiment, written, wrong, conditions)

    def draw(axes: Any) -> None:
        told = {name: experiment.write(name, conditions) for name in ("explanation-label", "explanation")}
        shown = np.flatnonzero(experiment.right)
        for axis, row in zip(axes, shown[np.linspace(0, len(shown) - 1, len(axes)).astype(int)], strict=True):
            axis.imshow(experiment.test.x[row].transpose(1, 2, 0))
            axis.set(xticks=[], yticks=[], anchor="N")
            axis.set_title(_named(experiment.classes[experiment.test.y[row]]), fontsize=8)
            lines = [f"{name}: {' '.join(said[row])}" for name, said in written.items()]
            lines += [f"told it is a {_named(experiment.classes[wrong[row]])}:"]
            lines += [f"{name}: {' '.join(said[row])}" for name, said in told.items()]
            text = "\n".join(textwrap.fill(line, 46, subsequent_indent="    ") for line in lines)
            axis.text(0, -0.03, text, fontsize=6.5, va="top", transform=axis.transAxes)

    return report.write(chosen.output, draw, axes=4, size=(3.0, 5.6))


def _named(attributes: images.Attributes) -> str:
    return f"{attributes['size']} {attributes['colour']} {attributes['shape']}, dot {attributes['position']}"


if __name__ == "__main__":
    main()
