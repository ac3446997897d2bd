"""Checks that compare attacks with one another on the same samples."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from advcore.evaluation import probes
from advcore.evaluation.plan import WHITE_BOX
from advcore.evaluation.results import Outcomes, Results
from advcore.evaluation.statistics import mcnemar

SMALLEST_GAP, LARGEST_P = 0.01, 0.01  # a comparison fails beyond both: a point, and one-sided exact McNemar

WITHOUT = "as the model (or its detector) raised or the attack was cut"
NOT_YET = "it has not been run yet"

Judged = tuple[bool | None, str]  # None: it could not run


class Tally(NamedTuple):
    """What two attacks did to the samples that both were run on.

    Attributes
    ----------
    only_weak, only_strong : int
        Broken by one of them.
    unknown : int
        Perhaps broken by the weaker one alone: the model raised, or an attack was cut.
    known : int
        Samples with a result of both.
    images : int
    """

    only_weak: int
    only_strong: int
    unknown: int
    known: int
    images: int

    @property
    def failed(self) -> bool:
        """Whether the weaker attack is ahead."""
        return beaten(self.only_weak, self.only_strong, self.images)[0]

    @property
    def open(self) -> bool:
        """Whether it is not, but would be with the samples that are not known, or nothing is known at all."""
        possible = beaten(self.only_weak + self.unknown, self.only_strong, self.images)[0]
        return not self.failed and (possible or not self.known)

    def missing(self, eps: float) -> str:
        """Say how many samples are not known."""
        return f"eps {eps:g}: {self.unknown} of {self.images} images have no result, {WITHOUT}" if self.unknown else ""


def tally(weak: Outcomes, strong: Outcomes) -> Tally:
    """Count what only one of two attacks broke, over the samples that both were run on."""
    pairs = [(weak[sample], strong[sample]) for sample in weak.keys() & strong.keys()]
    return Tally(
        sum(a is True and b is False for a, b in pairs),
        sum(b is True and a is False for a, b in pairs),
        sum(a is not False and b is not True and None in (a, b) for a, b in pairs),
        sum(None not in pair for pair in pairs),
        len(pairs),
    )


def verdict(tallies: Iterable[Tally]) -> bool | None:
    """Return whether the weaker attack is ahead nowhere; None where samples without a result could change that."""
    found = list(tallies)
    if any(one.failed for one in found):
        return False
    return None if not found or any(one.open for one in found) else True


def unless_to_come(results: Results, reason: str) -> Judged:
    """Say why a check has nothing to say; of a run that is not finished, that it is to come."""
    return None, reason if results.complete else NOT_YET


def _without_gradients(results: Results) -> list[str]:
    """Return the attacks of the plan that do without gradients."""
    return [entry["label"] for entry in results.about.plan if entry["access"] != "gradient"]


def _by_gradients(results: Results) -> list[str]:
    """Return the attacks of the plan that climb gradients in the run's norm: what looks elsewhere proves nothing."""
    return [entry["label"] for entry in results.about.plan if entry["access"] == "gradient" and entry["in_norm"]]


def white_box(results: Results) -> list[str]:
    """Return the attacks whose worst case is called white-box."""
    found = [label for label in results.labels if label in _by_gradients(results)]
    return [label for label in found if label in WHITE_BOX] or found


def _compare(results: Results, weak: list[str], strong: list[str], say: str) -> Judged:
    """Fail where, at some eps, the weaker attacks break more than the stronger ones do, over the samples of both."""
    lines: list[str] = []
    missing: list[str] = []
    tallies = []
    for eps in results.about.eps:
        found = tally(results.outcomes(weak, eps), results.outcomes(strong, eps))
        if not found.images:
            continue
        tallies.append(found)
        if found.only_weak:
            lines.append(
                f"eps {eps:g}: {say} on {found.only_weak} of {found.images} images and the other way round on "
                f"{found.only_strong} (p = {mcnemar(found.only_weak, found.only_strong):.2g})"
            )
        missing += filter(None, [found.missing(eps)])
    if not tallies:
        return unless_to_come(results, "there are no images that both were run on")
    lines = lines or [f"no image of {sum(t.images for t in tallies)} comparisons where {say}"]
    return verdict(tallies), "; ".join(lines + missing)


def beaten(only_weak: int, only_strong: int, count: int) -> tuple[bool, float]:
    """Say whether the weaker attack is ahead by more than chance and a point, and the p of that."""
    p = mcnemar(only_weak, only_strong)
    return (only_weak - only_strong) >= SMALLEST_GAP * count and p < LARGEST_P, p


def iterative(results: Results) -> Judged:
    """Compare one step with the first attack by gradients that takes more of them within a budget."""
    climbing = [entry["label"] for entry in results.about.plan if entry["is_iterative"]]
    if not climbing:
        return None, "no attack by gradients that takes several steps within a budget was run"
    first = [label for label in results.labels if label in climbing][:1]
    return _compare(results, [probes.SINGLE_STEP], first, f"one step wins and {' or '.join(first)} does not")


def grows(results: Results) -> Judged:
    """Look for images that a larger eps loses."""
    eps = results.about.eps
    label = next((label for label in results.labels if all(results.by.get((label, e)) for e in eps)), None)
    if len(eps) < 2:
        return None, "it takes two values of eps"
    if label is None:
        return unless_to_come(results, "no attack was run at all of them")
    if results.complete and not any(any(results.at(label, e).values()) for e in eps):
        return None, f"{label} broke nothing at any eps"
    lines, tallies = [], []
    for small, large in pairwise(eps):
        found = tally(results.outcomes([label], small), results.outcomes([label], large))
        lines.append(
            f"{label} from eps {small:g} to {large:g} wins {found.only_strong} images and loses {found.only_weak}"
        )
        lines += filter(None, [found.missing(large)])
        if found.images:
            tallies.append(found)
    return verdict(tallies), "; ".join(lines)


def unbounded(results: Results) -> Judged:
    """Look for images that are not broken with the whole box to choose from."""
    won: Outcomes = {}
    widest = 0.0
    for (label, eps), rows in results.by.items():
        if label.startswith(probes.UNBOUNDED):
            widest = eps
            for sample, row in rows.items():
                before = won.get(sample, False)
                cut = before is None or not row.tells
                won[sample] = True if before or row.success else None if cut else False
    if not won:
        return unless_to_come(results, "no attack with a budget was run")
    broken, unknown = (sum(hit is kind for hit in won.values()) for kind in (True, None))
    evidence = f"{broken} of {len(won)} images broken at eps {widest:g}, where any image may become any other"
    evidence += f"; {unknown} have no result, {WITHOUT}" if unknown else ""
    enough = (1 - SMALLEST_GAP) * len(won)
    return (None if broken <= enough < broken + unknown else broken > enough), evidence


def longer(results: Results) -> Judged:
    """Compare more steps and restarts with the attacks by gradients."""
    white = white_box(results)
    if not any(results.by.get((probes.LONGER, eps)) for eps in results.about.eps):
        if not any(entry["has_budget"] for entry in results.about.plan if entry["label"] in _by_gradients(results)):
            return None, "no attack by gradients within a budget was run"
        return _nothing_left(results, white[:1], "no attack by gradients was run")
    return _compare(results, [probes.LONGER], white, "more steps and restarts break what the attacks did not")


def _nothing_left(results: Results, strong: list[str], otherwise: str) -> Judged:
    """Judge a probe without rows: a run that is through had no image for it, where an attack came before it."""
    if not any(results.by.get((label, eps)) for label in strong for eps in results.about.eps):
        return unless_to_come(results, otherwise)
    return (True, "nothing was left to break") if results.complete else (None, NOT_YET)


def black_box(results: Results) -> Judged:
    """Compare attacks without gradients with those that have them."""
    white = white_box(results)
    black = _without_gradients(results)
    if not black or not _by_gradients(results):
        return None, f"it takes an attack by gradients in {results.about.norm} and one without"
    # An attack that ran on survivors alone could only win: it is judged by a sample of all images, where it ran on one.
    on_all = any(results.by.get((probes.BLACK_BOX, eps)) for eps in results.about.eps)
    tried = [probes.BLACK_BOX] if on_all else black
    judged = _compare(results, tried, white, f"{' or '.join(black)} wins and {', '.join(white)} do not")
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
    if not _by_gradients(results):
        return None, f"no attack by gradients in {results.about.norm} was run"
    if not labels:
        return unless_to_come(results, "there was no surrogate")
    return _compare(results, labels, white, "an example made for a surrogate wins and white-box attacks do not")


def random_points(results: Results) -> Judged:
    """Compare random points of the ball with the attacks."""
    strong = white_box(results) or results.labels
    if not any(results.by.get((probes.RANDOM, eps)) for eps in results.about.eps):
        return _nothing_left(results, strong[:1], "no random points were drawn")
    return _compare(results, [probes.RANDOM], strong, "random points win and the attacks do not")
