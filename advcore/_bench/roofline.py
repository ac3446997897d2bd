"""Every timing in one picture: how fast it is against how much arithmetic it does on each byte, under the roof."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from advcore._bench.campaign import Timing
from advcore._bench.peers import OURS

FORMATS = (".png", ".svg")
FLOAT_BYTES = 4
# Okabe and Ito's palette; markers differ too.
STYLES = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P")]
GREY = "#8a8f98"


def draw(timings: Sequence[Timing], suffix: str) -> bytes:
    """Draw a panel for each number of threads; return the file's content.

    What has no arithmetic to speak of (pooling, activations) counts one operation for each float that moves.
    """
    counts = list(dict.fromkeys(timing.threads for timing in timings))
    families = list(dict.fromkeys(timing.family for timing in timings))
    styles = {family: STYLES[i % len(STYLES)] for i, family in enumerate(families)}
    figure = Figure(figsize=(6.4 * len(counts), 5), layout="constrained")
    FigureCanvasAgg(figure)
    for column, threads in enumerate(counts):
        axes = figure.add_subplot(1, len(counts), column + 1)
        _panel(axes, [t for t in timings if t.threads == threads], styles)
        axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}")
    content = io.BytesIO()
    figure.savefig(content, format=suffix[1:], dpi=120)
    return content.getvalue()


def _panel(axes: Axes, timings: Sequence[Timing], styles: dict[str, tuple[str, str]]) -> None:
    limits = timings[0].limits
    operations = {t.case: t.flops or t.traffic / FLOAT_BYTES for t in timings}
    intensity = {t.case: operations[t.case] / t.traffic for t in timings}
    span = np.geomspace(min(intensity.values()) / 2, max(intensity.values()) * 2, 200)
    axes.plot(span, np.minimum(limits.flops, span * limits.bandwidth) / 1e9, color="black", linewidth=1.2)
    with_peers = [t for t in timings if t.peers]
    axes.plot(
        [intensity[t.case] for t in with_peers],
        [operations[t.case] / min(map(t.median, t.peers)) / 1e9 for t in with_peers],
        linestyle="none",
        marker="_",
        color=GREY,
        label="best peer",
    )
    for family, (colour, marker) in styles.items():
        group = [t for t in timings if t.family == family]
        axes.plot(
            [intensity[t.case] for t in group],
            [operations[t.case] / t.median(OURS.name) / 1e9 for t in group],
            linestyle="none",
            marker=marker,
            markersize=4,
            color=colour,
            alpha=0.8,
            label=family,
        )
    axes.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="GFLOP/s of the textbook algorithm")
    axes.grid(True, which="major", linewidth=0.4, alpha=0.5)
    axes.legend(fontsize="small")
