"""What a campaign found: tables for the terminal and a document for JSON."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

from rich.table import Table
from rich.text import Text

from advcore._bench.campaign import Campaign, Timing
from advcore._bench.peers import OURS
from advcore._config import show_config

BEST = "best peer"


def geometric_means(timings: Sequence[Timing]) -> dict[str, float]:
    """Return, for each peer and the best one of each case, the geometric mean of its ratios."""
    ratios: dict[str, list[float]] = {BEST: []}
    for timing in timings:
        for peer in timing.peers:
            ratios.setdefault(peer, []).append(timing.ratio(peer))
        if timing.peers:
            ratios[BEST].append(min(timing.ratio(peer) for peer in timing.peers))
    return {peer: math.exp(sum(map(math.log, r)) / len(r)) for peer, r in ratios.items() if r}


def tables(timings: Sequence[Timing]) -> Iterable[Table]:
    """Yield one table a family and number of threads."""
    for family, threads in dict.fromkeys((timing.family, timing.threads) for timing in timings):
        yield _table(family, threads, [t for t in timings if (t.family, t.threads) == (family, threads)])


def _table(family: str, threads: int, timings: Sequence[Timing]) -> Table:
    means = geometric_means(timings)
    peers = list(dict.fromkeys(peer for timing in timings for peer in timing.peers))
    table = Table(title=f"{family}, {threads} thread{'s' if threads > 1 else ''}", title_justify="left")
    table.add_column("case", no_wrap=True)
    table.add_column("advcore ms", justify="right")
    table.add_column("GFLOP/s", justify="right")
    for peer in peers:
        table.add_column(f"{peer} ms", justify="right")
        table.add_column("ratio", justify="right")
    for timing in timings:
        ours = timing.median(OURS.name)
        rate = f"{timing.flops / ours / 1e9:.1f}" if timing.flops else ""
        cells = [_cells(timing, peer) for peer in peers]
        table.add_row(Text(timing.case), f"{1e3 * ours:.3g}", rate, *(cell for pair in cells for cell in pair))
    table.add_section()
    average = [cell for peer in peers for cell in (Text(), _ratio(means[peer]))]
    table.add_row("geometric mean", "", "", *average)
    if BEST in means:
        table.caption = f"ratio: the peer's time over advcore's; against the best peer of each case {means[BEST]:.2f}"
    return table


def _cells(timing: Timing, peer: str) -> tuple[Text, Text]:
    if peer not in timing.seconds:
        return Text(), Text()
    return Text(f"{1e3 * timing.median(peer):.3g}"), _ratio(timing.ratio(peer))


def _ratio(ratio: float) -> Text:
    return Text(f"{ratio:.2f}", style="green" if ratio >= 1 else "red")


def document(campaign: Campaign, timings: Sequence[Timing]) -> dict[str, Any]:
    """Return everything that was measured, on what, and with what."""
    packages = sorted({package for peer in campaign.peers for package in peer.packages} | {"numpy"})
    return {
        "machine": show_config() | {"system": platform.platform()},
        "versions": {package: _version(package) for package in packages},
        "settings": {"rounds": campaign.settings.rounds, "seconds": campaign.settings.seconds, "type": "float32"},
        "missing_peers": campaign.missing,
        "timings": [
            {
                "family": timing.family,
                "case": timing.case,
                "operation": timing.operation,
                "threads": timing.threads,
                "flops": timing.flops,
                "median_seconds": {name: timing.median(name) for name in timing.seconds},
                "seconds": timing.seconds,
                "ratios": {peer: timing.ratio(peer) for peer in timing.peers},
                "errors": timing.errors,
            }
            for timing in timings
        ],
        "geometric_mean_ratios": [
            {"family": family, "threads": threads}
            | geometric_means([t for t in timings if (t.family, t.threads) == (family, threads)])
            for family, threads in dict.fromkeys((t.family, t.threads) for t in timings)
        ],
    }


def _version(package: str) -> str:
    distributions = metadata.packages_distributions().get(package, [package])
    return metadata.version(distributions[0])
