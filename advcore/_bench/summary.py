"""What a campaign found: tables for the terminal and a document for JSON."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
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
    table.add_column("rate", justify="right")
    table.add_column("of limit", justify="right")
    weighed = any(timing.memory for timing in timings)
    for heading in _headings(peers, weighed):
        table.add_column(heading, justify="right")
    for timing in timings:
        ours = timing.median(OURS.name)
        rate, share = _rate(timing), f"{timing.share:.0%}"
        table.add_row(Text(timing.case), f"{1e3 * ours:.3g}", rate, share, *_cells(timing, peers, weighed))
    table.add_section()
    table.add_row("geometric mean", "", "", "", *_averages(means, peers, weighed))
    if BEST in means:
        table.caption = f"ratio: the peer's time over advcore's; against the best peer of each case {means[BEST]:.2f}"
    return table


def _rate(timing: Timing) -> str:
    """Return what the limit counts: operations or bytes a second."""
    seconds = timing.median(OURS.name)
    if timing.limits.bound(timing.flops, timing.traffic) == "arithmetic":
        return f"{(timing.flops or 0) / seconds / 1e9:.1f} GFLOP/s"
    return f"{timing.traffic / seconds / 1e9:.1f} GB/s"


def markdown(timings: Sequence[Timing]) -> str:
    """Return an overview, then one table a family and number of threads, for a page of documentation."""
    parts = _overview(timings)
    for family, threads in dict.fromkeys((timing.family, timing.threads) for timing in timings):
        group = [t for t in timings if (t.family, t.threads) == (family, threads)]
        peers = list(dict.fromkeys(peer for timing in group for peer in timing.peers))
        limits = group[0].limits
        weighed = any(timing.memory for timing in group)
        headings = _headings(peers, weighed)
        parts += [
            f"## {family}, {threads} thread{'s' if threads > 1 else ''}",
            "",
            f"Limits: {limits.flops / 1e9:.0f} GFLOP/s, {limits.bandwidth / 1e9:.0f} GB/s.",
            "",
            "| case | ms | rate | of limit | " + " | ".join(headings) + " |",
            "| --- |" + " ---: |" * (3 + len(headings)),
        ]
        for timing in group:
            cells = [cell.plain for cell in _cells(timing, peers, weighed)]
            first = [timing.case, f"{1e3 * timing.median(OURS.name):.3g}", _rate(timing), f"{timing.share:.0%}"]
            parts.append("| " + " | ".join(first + cells) + " |")
        average = [cell.plain for cell in _averages(geometric_means(group), peers, weighed)]
        parts += ["| geometric mean | | | | " + " | ".join(average) + " |", ""]
    return "\n".join(parts)


def _overview(timings: Sequence[Timing]) -> list[str]:
    """Return a table of means and worst ratios, a row an operation and number of threads."""
    parts = [
        "## Overview",
        "",
        "| operation | threads | cases | each peer: mean (least) | fastest peer: mean | least | where |",
        "| --- | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for operation, threads in dict.fromkeys((t.operation, t.threads) for t in timings if t.peers):
        group = [t for t in timings if (t.operation, t.threads) == (operation, threads) and t.peers]
        means = geometric_means(group)
        least = {peer: min(t.ratio(peer) for t in group if peer in t.peers) for peer in means if peer != BEST}
        worst = min(group, key=lambda t: min(map(t.ratio, t.peers)))
        each = ", ".join(f"{peer} {means[peer]:.2f} ({least[peer]:.2f})" for peer in least)
        cells = (operation, threads, len(group), each, f"{means[BEST]:.2f}", f"{min(least.values()):.2f}")
        parts.append("| " + " | ".join(map(str, cells)) + f" | {worst.case.removeprefix(operation)} |")
    return [*parts, ""]


def _headings(peers: Sequence[str], weighed: bool) -> list[str]:
    """Return the headings from advcore's memory on; memory has columns where it was measured."""
    memory = ["kept + call MB"] if weighed else []
    return memory + [heading for peer in peers for heading in (f"{peer} ms", "ratio", *memory)]


def _cells(timing: Timing, peers: Sequence[str], weighed: bool) -> list[Text]:
    """Return what stands under those headings."""
    cells = [_megabytes(timing, OURS.name)] if weighed else []
    for peer in peers:
        known = peer in timing.seconds
        cells.append(Text(f"{1e3 * timing.median(peer):.3g}" if known else ""))
        cells.append(_ratio(timing.ratio(peer)) if known else Text())
        cells += [_megabytes(timing, peer)] if weighed else []
    return cells


def _averages(means: Mapping[str, float], peers: Sequence[str], weighed: bool) -> list[Text]:
    """Return what stands there in the last row."""
    return [Text()] * weighed + [cell for peer in peers for cell in (Text(), _ratio(means[peer]), *[Text()] * weighed)]


def _megabytes(timing: Timing, participant: str) -> Text:
    """Return what is held between calls and what a call takes beside it: their sum is the peak."""
    if participant not in timing.memory:
        return Text()
    kept, peak = timing.memory[participant]
    return Text(f"{kept / 1e6:.1f} + {(peak - kept) / 1e6:.1f}")


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
        "limits": [
            {"threads": threads} | asdict(limits)
            for threads, limits in {timing.threads: timing.limits for timing in timings}.items()
        ],
        "timings": [
            {
                "family": timing.family,
                "case": timing.case,
                "operation": timing.operation,
                "threads": timing.threads,
                "flops": timing.flops,
                "traffic": timing.traffic,
                "bound": timing.limits.bound(timing.flops, timing.traffic),
                "share_of_limit": timing.share,
                "median_seconds": {name: timing.median(name) for name in timing.seconds},
                "seconds": timing.seconds,
                "ratios": {peer: timing.ratio(peer) for peer in timing.peers},
                "errors": timing.errors,
                "kept_and_peak_bytes": timing.memory,
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
