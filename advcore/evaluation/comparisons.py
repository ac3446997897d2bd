"""Checks that compare attacks with one another on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from advcore.evaluation import probes
from advcore.evaluation.plan import WHITE_BOX
from advcore.evaluation.results import Results
from advcore.evaluation.statistics import mcnemar

SMALLEST_GAP, LARGEST_P = 0.01, 0.01  # a comparison fails beyond both: a point, and one-sided exact McNemar

Judged = tuple[bool | None, str]  # None: it could not run


def white_box(results: Results) -> list[str]:
    """Return the attacks whose worst case is called white-box."""
    access = {entry["label"]: entry["access"] for entry in results.about.plan}
    named = [label for label in results.labels if label in WHITE_BOX]
    return named or [label for label in results.labels if access[label] == "gradient"]


def _compare(
    results: Results,
    weak: Callable[[float], Mapping[int, bool]],
    strong: Callable[[float], Mapping[int, bool]],
    say: str,
) -> Judged:
    """Fail where, at some eps, the weaker attack breaks more than the stronger one does."""
    lines, failed, tried = [], False, 0
    for eps in results.about.eps:
        first, second = weak(eps), strong(eps)
        both = first.keys() & second.keys()
        if not both:
            continue
        tried += len(both)
        only_weak = sum(first[s] and not second[s] for s in both)
        only_strong = sum(second[s] and not first[s] for s in both)
        bad, p = beaten(only_weak, only_strong, len(both))
        failed |= bad
        if only_weak:
            lines.append(
                f"eps {eps:g}: {say} on {only_weak} of {len(both)} images and the other way round on {only_strong} "
                f"(p = {p:.2g})"
            )
    if not tried:
        return None, "there are no images that both were run on"
    return not failed, "; ".join(lines) or f"no image of {tried} comparisons where {say}"


def beaten(only_weak: int, only_strong: int, count: int) -> tuple[bool, float]:
    """Say whether the weaker attack is ahead by more than chance and a point, and the p of that."""
    p = mcnemar(only_weak, only_strong)
    return (only_weak - only_strong) >= SMALLEST_GAP * count and p < LARGEST_P, p


def iterative(results: Results) -> Judged:
    """Compare one step with the first attack by gradients."""
    white = white_box(results)
    if not white:
        return None, "no attack by gradients was run"
    return _compare(
        results,
        lambda eps: results.at(probes.SINGLE_STEP, eps),
        lambda eps: results.at(white[0], eps),
        f"one step wins and {white[0]} does not",
    )


def grows(results: Results) -> Judged:
    """Look for images that a larger eps loses."""
    eps = results.about.eps
    label = next((label for label in results.labels if all(results.by.get((label, e)) for e in eps)), None)
    if label is None or len(eps) < 2:
        return None, "it takes two values of eps"
    lines, failed = [], False
    for small, large in pairwise(eps):
        first, second = results.at(label, small), results.at(label, large)
        both = first.keys() & second.keys()
        lost = sum(first[s] and not second[s] for s in both)
        won = sum(second[s] and not first[s] for s in both)
        failed |= beaten(lost, won, max(len(both), 1))[0]
        lines.append(f"{label} from eps {small:g} to {large:g} wins {won} images and loses {lost}")
    return not failed, "; ".join(lines)


def unbounded(results: Results) -> Judged:
    """Look for images that are not broken with the whole box to choose from."""
    won: dict[int, bool] = {}
    widest = 0.0
    for (label, eps), rows in results.by.items():
        if label.startswith(probes.UNBOUNDED):
            widest = eps
            for sample, row in rows.items():
                won[sample] = won.get(sample, False) or row.success
    if not won:
        return None, "no attack with a budget was run"
    broken = sum(won.values())
    evidence = f"{broken} of {len(won)} images broken at eps {widest:g}, where any image may become any other"
    return broken > (1 - SMALLEST_GAP) * len(won), evidence


def longer(results: Results) -> Judged:
    """Compare more steps and restarts with the attacks by gradients."""
    white = white_box(results)
    if not any(results.by.get((probes.LONGER, eps)) for eps in results.about.eps):
        survivors = any(results.by.get((white[0], eps)) for eps in results.about.eps) if white else False
        return (True, "nothing was left to break") if survivors else (None, "no attack by gradients was run")
    return _extra(results, [probes.LONGER], white, "more steps and restarts break what the attacks did not")


def _extra(results: Results, labels: list[str], white: list[str], say: str) -> Judged:
    """Compare attacks with the white-box worst case, over the samples that they were run on."""

    def strong(eps: float) -> dict[int, bool]:
        found: dict[int, bool] = {}
        for label in white:
            for sample, hit in results.at(label, eps).items():
                found[sample] = found.get(sample, False) or hit
        return found

    def weak(eps: float) -> dict[int, bool]:
        found: dict[int, bool] = {}
        for label in labels:
            for sample, hit in results.at(label, eps).items():
                found[sample] = found.get(sample, False) or hit
        return found

    return _compare(results, weak, strong, say)


def black_box(results: Results) -> Judged:
    """Compare attacks without gradients with those that have them."""
    white = white_box(results)
    access = {entry["label"]: entry["access"] for entry in results.about.plan}
    black = [label for label in results.labels if access[label] != "gradient"]
    if not white or not black:
        return None, "it takes an attack by gradients and one without"
    # An attack that ran on survivors alone could only win: it is judged by a sample of all images, where it ran on one.
    on_all = any(results.by.get((probes.BLACK_BOX, eps)) for eps in results.about.eps)
    tried = [probes.BLACK_BOX] if on_all else black
    judged = _extra(results, tried, white, f"{' or '.join(black)} wins and {', '.join(white)} do not")
    if judged[0] is None:
        return True, "nothing was left to break for attacks without gradients"
    return judged[0], judged[1] + _survivors_broken(
        results, [entry["label"] for entry in results.about.plan if entry["label"] in black and not entry["everyone"]]
    )


def _survivors_broken(results: Results, labels: list[str]) -> str:
    """Say what attacks broke of the images that were left to them, where that was anything."""
    counts = {(label, eps): sum(results.at(label, eps).values()) for label in labels for eps in results.about.eps}
    told = [f"{label} broke {count} at eps {eps:g}" for (label, eps), count in counts.items() if count]
    return f"; of the images left to it {', '.join(told)}" if told else ""


def transfer(results: Results) -> Judged:
    """Compare examples made for surrogates with the attacks by gradients."""
    labels = [label for label in results.attacks if label.startswith(probes.TRANSFER) and "> model" in label]
    labels = [label for label in labels if not label.startswith(f"{probes.TRANSFER} model")]
    white = white_box(results)
    if not labels or not white:
        return None, "there was no surrogate"
    return _extra(results, labels, white, "an example made for a surrogate wins and white-box attacks do not")


def random_points(results: Results) -> Judged:
    """Compare random points of the ball with the attacks."""
    strong = white_box(results) or results.labels
    if not any(results.by.get((probes.RANDOM, eps)) for eps in results.about.eps):
        tried = any(results.by.get((strong[0], eps)) for eps in results.about.eps) if strong else False
        return (True, "nothing was left to break") if tried else (None, "no random points were drawn")
    return _extra(results, [probes.RANDOM], strong, "random points win and the attacks do not")
