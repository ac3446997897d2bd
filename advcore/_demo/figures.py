"""The figures of the report, drawn off screen: no window system and no state shared with the user's matplotlib."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from advcore._check import Array

# Okabe and Ito's palette: told apart by colour-blind readers; markers differ too.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8f98"
STYLES = {"fgsm": (BLUE, "o"), "pgd": (ORANGE, "s"), "zoo": (GREEN, "^")}
INK = "#22272e"


@dataclass(frozen=True)
class Curve:
    """Accuracy at growing sizes of the perturbation."""

    label: str
    style: tuple[str, str]
    sizes: Sequence[float]
    accuracies: Sequence[float]


@dataclass(frozen=True)
class Pair:
    """One image before and after an attack, each with the label that the model gives it; images are (C, H, W)."""

    clean: Array
    adversarial: Array
    before: int
    after: int


def accuracy_curves(
    panels: Sequence[tuple[str, Sequence[Curve]]], *, axis: str, chance: float, steps: bool = False
) -> str:
    """Draw accuracy against perturbation size, one panel a model; ``steps`` for curves that are counts."""
    figure = new_figure(len(panels) * 4.4, 3.3)
    axes: Axes | None = None
    for column, (title, curves) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), column + 1, sharex=axes, sharey=axes)
        for curve in curves:
            colour, marker = curve.style
            values = 100 * np.asarray(curve.accuracies)
            if steps:
                axes.step(curve.sizes, values, where="post", color=colour, label=curve.label, linewidth=1.8)
            else:
                axes.plot(curve.sizes, values, color=colour, marker=marker, label=curve.label, linewidth=1.8)
        axes.axhline(100 * chance, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            "chance", (1, 100 * chance), (-3, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", color=GREY, fontsize=8,
        )  # fmt: skip
        axes.set(title=title, xlabel=axis, ylim=(-3, 103))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        plain_axes(axes)
        if column == 0:
            axes.set_ylabel("accuracy, %")
            axes.legend(frameon=False, fontsize=9, labelcolor=INK)
        else:
            axes.tick_params(labelleft=False)
    if axes is not None:
        axes.set_xlim(left=0)  # shared, and fixed only when every panel has its curves
    return as_png(figure)


def image_grid(pairs: Sequence[Pair]) -> str:
    """Draw clean images, perturbations and adversarial images in three rows, with the model's labels."""
    columns = len(pairs)
    figure = new_figure(0.9 + 0.86 * columns, 3.0)
    largest = max((float(np.abs(pair.adversarial - pair.clean).max()) for pair in pairs), default=0.0) or 1.0
    for column, pair in enumerate(pairs):
        rows = (
            ("clean", picture_of(pair.clean), f"{pair.before}"),
            ("perturbation", picture_of(pair.adversarial - pair.clean, largest), ""),
            ("adversarial", picture_of(pair.adversarial), f"{pair.before} → {pair.after}"),
        )
        for row, (name, picture, label) in enumerate(rows):
            axes = figure.add_subplot(3, columns, row * columns + column + 1)
            is_difference = row == 1 and picture.ndim == 2
            limits = (-largest, largest) if is_difference else (0.0, 1.0)
            axes.imshow(picture, cmap="RdBu_r" if is_difference else "gray", vmin=limits[0], vmax=limits[1])
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color="#c9cdd3", linewidth=0.6)
            axes.set_xlabel(label, fontsize=9, labelpad=2, color=INK)
            if column == 0:
                axes.set_ylabel(name, fontsize=9, color=INK)
    return as_png(figure)


def detection(scores: Mapping[str, Array], roc: tuple[Array, Array], auc: float) -> str:
    """Draw the histogram of the detector's scores by kind of image, and its ROC curve."""
    figure = new_figure(8.8, 3.3)
    histogram, curve = figure.subplots(1, 2, width_ratios=(3, 2))
    together = np.concatenate(list(scores.values()))
    edges = np.linspace(together.min(), together.max() + 1e-9, 31)
    for (label, values), colour in zip(scores.items(), (BLUE, GREEN, ORANGE), strict=True):
        weights = np.full(len(values), 1 / max(len(values), 1))
        histogram.hist(values, edges, weights=weights, color=colour, alpha=0.18)
        histogram.hist(values, edges, weights=weights, color=colour, histtype="step", linewidth=1.6, label=label)
    histogram.set(xlabel="LID detector's score (higher: more likely adversarial)", ylabel="share of images")
    histogram.set_title("Scores of held-out images")
    histogram.legend(frameon=False, fontsize=9, labelcolor=INK)
    curve.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (4, 3)), linewidth=1)
    curve.plot(*roc, color=ORANGE, linewidth=1.8)
    curve.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    curve.set_title(f"ROC, area {auc:.3f}")
    curve.set_aspect("equal")
    for axes in (histogram, curve):
        plain_axes(axes)
    return as_png(figure)


def new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9aa0a8")
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color="#e6e8eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.title.set(fontsize=10, color=INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=9, color=INK)


def picture_of(image: Array, largest: float | None = None) -> Array:
    """Return (H, W) for one channel; (H, W, 3) for colours, a difference shown around grey."""
    if len(image) == 1:
        plane: Array = image[0]
        return plane
    colours: Array = np.moveaxis(image[:3], 0, -1)
    return colours if largest is None else 0.5 + colours / (2 * largest)


def as_png(figure: Figure) -> str:
    """Return the figure as the text of a data URI's PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")
