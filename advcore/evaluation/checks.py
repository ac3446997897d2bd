"""The checklist: signs that an evaluation is weaker than it looks (Carlini et al. 2019, Athalye et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from advcore.evaluation import detection, probes
from advcore.evaluation.plan import WHITE_BOX
from advcore.evaluation.results import Results
from advcore.evaluation.rows import Row
from advcore.evaluation.statistics import mcnemar

PASS, FAIL, NOT_RUN = "PASS", "FAIL", "NOT RUN"
SMALLEST_GAP, LARGEST_P = 0.01, 0.01  # a comparison fails beyond both: a point, and one-sided exact McNemar
MOST_WRONG_WAY = 0.05  # of samples whose loss moves away from the attacker's goal


@dataclass(frozen=True)
class Check:
    """One item of the checklist.

    Attributes
    ----------
    name : str
    verdict : "PASS", "FAIL" or "NOT RUN"
    evidence : str
        The numbers behind the verdict, or why there are none.
    advice : str
        What a failure means and what to try next; empty unless it failed.
    """

    name: str
    verdict: str
    evidence: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the fields by name."""
        return asdict(self)


Judged = tuple[bool | None, str]  # None: it could not run


def checklist(results: Results) -> list[Check]:
    """Return all checks of a run, failures first."""
    found = [_check(name, judge(results), advice, results) for name, (judge, advice) in CHECKS.items()]
    order = {FAIL: 0, PASS: 1, NOT_RUN: 2}
    return sorted(found, key=lambda check: order[check.verdict])


def _check(name: str, judged: Judged, advice: str, results: Results) -> Check:
    passed, evidence = judged
    if passed is None:
        return Check(name, NOT_RUN, results.about.missing.get(name, evidence))
    return Check(name, PASS, evidence) if passed else Check(name, FAIL, evidence, advice)


def _white(results: Results) -> list[str]:
    """Return the attacks whose worst case is called white-box."""
    access = {entry["label"]: entry["access"] for entry in results.about.plan}
    named = [label for label in results.labels if label in WHITE_BOX]
    return named or [label for label in results.labels if access[label] == "gradient"]


# Comparisons of two attacks on the same samples


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
        bad, p = _beaten(only_weak, only_strong, len(both))
        failed |= bad
        if only_weak:
            lines.append(
                f"eps {eps:g}: {say} on {only_weak} of {len(both)} images and the other way round on {only_strong} "
                f"(p = {p:.2g})"
            )
    if not tried:
        return None, "there are no images that both were run on"
    return not failed, "; ".join(lines) or f"no image of {tried} comparisons where {say}"


def _beaten(only_weak: int, only_strong: int, count: int) -> tuple[bool, float]:
    p = mcnemar(only_weak, only_strong)
    return (only_weak - only_strong) >= SMALLEST_GAP * count and p < LARGEST_P, p


def _iterative(results: Results) -> Judged:
    white = _white(results)
    if not white:
        return None, "no attack by gradients was run"
    return _compare(
        results,
        lambda eps: results.at(probes.SINGLE_STEP, eps),
        lambda eps: results.at(white[0], eps),
        f"one step wins and {white[0]} does not",
    )


def _grows(results: Results) -> Judged:
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
        failed |= _beaten(lost, won, max(len(both), 1))[0]
        lines.append(f"{label} from eps {small:g} to {large:g} wins {won} images and loses {lost}")
    return not failed, "; ".join(lines)


def _unbounded(results: Results) -> Judged:
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


def _longer(results: Results) -> Judged:
    white = _white(results)
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


def _black_box(results: Results) -> Judged:
    white = _white(results)
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


def _transfer(results: Results) -> Judged:
    labels = [label for label in results.attacks if label.startswith(probes.TRANSFER) and "> model" in label]
    labels = [label for label in labels if not label.startswith(f"{probes.TRANSFER} model")]
    white = _white(results)
    if not labels or not white:
        return None, "there was no surrogate"
    return _extra(results, labels, white, "an example made for a surrogate wins and white-box attacks do not")


def _random(results: Results) -> Judged:
    strong = _white(results) or results.labels
    if not any(results.by.get((probes.RANDOM, eps)) for eps in results.about.eps):
        tried = any(results.by.get((strong[0], eps)) for eps in results.about.eps) if strong else False
        return (True, "nothing was left to break") if tried else (None, "no random points were drawn")
    return _extra(results, [probes.RANDOM], strong, "random points win and the attacks do not")


# Looks at the model


def _gradients(results: Results) -> Judged:
    rows = [row for row in results.by[probes.GRADIENTS, 0.0].values() if row.status != "error"]
    if not rows:
        return None, "the model gives no gradients"
    bad = [row for row in rows if not row.success]
    kinds = {note: sum(row.note == note for row in bad) for note in sorted({row.note for row in bad})}
    evidence = f"of {len(rows)} images the gradient is " + (
        ", ".join(f"{note} for {count}" for note, count in kinds.items()) or "neither zero nor non-finite for any"
    )
    return len(bad) < max(1.0, SMALLEST_GAP * len(rows)), evidence


def _trend(results: Results) -> Judged:
    rows = [row for (label, _), found in results.by.items() if label == probes.TREND for row in found.values()]
    rows = [row for row in rows if row.status != "error"]
    if not rows:
        return None, "the model gives no gradients"
    wrong = sum(not row.success for row in rows)
    evidence = f"{probes.TREND_STEPS} small steps brought the attacker no nearer on {wrong} of {len(rows)} images"
    return wrong <= MOST_WRONG_WAY * len(rows), evidence


def _twice(results: Results) -> Judged:
    clean = [row for row in results.by[probes.CLEAN, 0.0].values() if row.again is not None]
    hit = [row for row in results.rows if row.again is not None and row.attack != probes.CLEAN]
    moved, lost = sum(not row.again for row in clean), sum(not row.again for row in hit)
    evidence = (
        f"a second run gave other logits for {moved} of {len(clean)} images and undid {lost} of {len(hit)} examples"
    )
    if results.about.randomised:
        return False, evidence + "; the model is randomised, so its answers were averaged over 100 passes"
    return moved == 0 and lost == 0, evidence


def _alone(results: Results) -> Judged:
    clean = [row for row in results.by[probes.CLEAN, 0.0].values() if row.alone is not None]
    hit = [row for row in results.rows if row.alone is not None and row.attack != probes.CLEAN]
    if not clean:
        return None, "the model is randomised"
    moved, lost = sum(not row.alone for row in clean), sum(not row.alone for row in hit)
    return moved == 0 and lost == 0, (
        f"alone, {moved} of {len(clean)} images get other logits than together, and {lost} of {len(hit)} examples fail"
    )


def _kept(field: str, what: str) -> Callable[[Results], Judged]:
    def judge(results: Results) -> Judged:
        """Compare robust accuracy with and without the condition, at each eps."""
        if not any(getattr(row, field) is not None for row in results.rows if row.attack != probes.CLEAN):
            return None, f"no example was looked at {what}"
        lines, failed = [], False
        for eps in results.about.eps:
            kept = _still_broken(results, eps, field)
            both = results.broken(eps, [label for label in results.attacks if label in _looked_at(results, field)])
            lost = int((both & ~kept).sum())
            failed |= _beaten(lost, 0, results.count)[0]
            lines.append(f"eps {eps:g}: {lost} of {int(both.sum())} broken images hold {what}")
        return not failed, "; ".join(lines)

    return judge


def _looked_at(results: Results, field: str) -> set[str]:
    return {row.attack for row in results.rows if getattr(row, field) is not None}


def _still_broken(results: Results, eps: float, field: str) -> Any:
    broken = np.zeros(results.count, np.bool_)
    for row in results.rows:
        if _counts(row, results.about.norm, eps, field):
            broken[row.sample] = True
    return broken


def _counts(row: Row, norm: str, eps: float, field: str) -> bool:
    return bool(getattr(row, field)) and row.attack != probes.CLEAN and row.within(norm, eps)


def _detector(results: Results) -> Judged:
    lines, failed = [], False
    for eps in results.about.eps:
        alarm, unaware, aware = (results.at(label, eps) for label in detection.LABELS)
        both = unaware.keys() & aware.keys()
        if both:
            gained = sum(aware[s] and not unaware[s] for s in both)
            lost = sum(unaware[s] and not aware[s] for s in both)
            failed |= _beaten(gained, lost, len(both))[0]
            lines.append(
                f"eps {eps:g}: of {len(both)} images {sum(unaware.values())} pass unnoticed where the attacker does "
                f"not know it, {sum(aware.values())} where he does ({sum(alarm.values())} false alarms)"
            )
    return (not failed, "; ".join(lines)) if lines else (None, "no detector was given")


_MASKED = (
    "Gradients do not lead where they should, so attacks by gradients overstate robustness. Replace what has no useful "
    "gradient by its backward pass (attacks.backward_pass), attack the logits, and trust the attacks without gradients."
)
CHECKS: dict[str, tuple[Callable[[Results], Judged], str]] = {
    "iterative attacks beat a single step": (_iterative, _MASKED),
    "success grows with eps": (
        _grows,
        "A larger ball holds the smaller one: the attack got lost. Use more, smaller steps, restarts, another loss.",
    ),
    "unbounded attacks break everything": (
        _unbounded,
        "With the whole box to choose from every image can be turned into another class's. " + _MASKED,
    ),
    "more steps and more restarts change nothing": (
        _longer,
        "The attacks had not converged: raise their steps and restarts until the numbers stand still.",
    ),
    "white-box attacks beat black-box ones": (_black_box, _MASKED),
    "examples made for other models do not beat white-box attacks": (_transfer, _MASKED),
    "random points do not beat the attacks": (_random, _MASKED),
    "gradients are neither zero nor non-finite": (
        _gradients,
        "Other tools, which climb cross-entropy, get stuck here: attack the logits (as the attacks here do), and for a "
        "step that has no gradient use attacks.backward_pass.",
    ),
    "the loss moves the attacker's way": (
        _trend,
        "Steps along the gradient lead away: the gradient is not that of the model's answers (a sign, a detached or "
        "replaced part). Compare vjp with finite differences.",
    ),
    "results hold when the model runs twice": (
        _twice,
        "One lucky answer is not robustness: attack the expectation over the model's randomness (attacks.expectation) "
        "and count a sample as robust only by many passes, as is done here for randomised models.",
    ),
    "a sample's answer does not depend on its batch": (
        _alone,
        "The model looks at the other images (batch statistics in training mode, a mean over the batch). Put it in "
        "evaluation mode, or evaluate one image at a time (chunk_size=1).",
    ),
    "examples survive rounding to 8 bits": (
        _kept("rounded", "only until they are rounded"),
        "Examples live between the values that an image file can hold. Attack with quantize=255.",
    ),
    "examples hold in the framework the model came from": (
        _kept("source", "only in advcore"),
        "The imported model is not the model: compare their logits, report the difference, attack the source itself.",
    ),
    "the detector holds against attackers who know it": (
        _detector,
        "The detector stops only who does not know it. Report accuracy under attacks.joint, not the detection rate.",
    ),
}
