"""The checklist: signs that an evaluation is weaker than it looks (Carlini et al. 2019, Athalye et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from advcore.evaluation import comparisons, detection, probes
from advcore.evaluation.comparisons import LARGEST_P, SMALLEST_GAP, WITHOUT, Judged, beaten, tally, unless_to_come
from advcore.evaluation.identity import NONE
from advcore.evaluation.results import Results
from advcore.evaluation.rows import Row
from advcore.evaluation.statistics import binomial

PASS, FAIL, NOT_RUN = "PASS", "FAIL", "NOT RUN"
EXPECTED_LOSS = 0.1  # of broken images, by rounding: the 8-bit images within eps 0.1 lie within 25/255
MOST_WRONG_WAY = 0.05  # of samples whose loss moves away from the attacker's goal
MOST_PASSING = 0.1  # of so few images that more of them would be needed to tell
MOST_ALARMS = 0.1  # of clean images, that a detector may take for adversarial
# Names of checks that a run may have nothing to say to.
ITERATIVE = "iterative attacks beat a single step"
UNBOUNDED = "unbounded attacks break everything"
LONGER = "more steps and more restarts change nothing"
TRANSFER = "examples made for other models do not beat white-box attacks"
RANDOM = "random points do not beat the attacks"
TREND = "the loss moves the attacker's way"
GRADIENTS = "gradients are neither zero nor non-finite"
DETECTOR = "the detector holds against attackers who know it"


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


def checklist(results: Results) -> list[Check]:
    """Return all checks of a run, failures first."""
    found = [_check(name, judge(results), advice, results) for name, (judge, advice) in CHECKS.items()]
    order = {FAIL: 0, PASS: 1, NOT_RUN: 2}
    return sorted(found, key=lambda check: order[check.verdict])


def _check(name: str, judged: Judged, advice: str, results: Results) -> Check:
    passed, evidence = judged
    missing = results.about.missing.get(name)
    if passed is None or missing is not None:
        return Check(name, NOT_RUN, missing or evidence)
    if passed and (doubt := results.about.doubts.get(name)) is not None:
        return Check(name, NOT_RUN, f"{evidence}; {doubt}")
    return Check(name, PASS, evidence) if passed else Check(name, FAIL, evidence, advice)


def _gradients(results: Results) -> Judged:
    every = results.by[probes.GRADIENTS, 0.0].values()
    rows = [row for row in every if row.status != "error"]
    if not rows:
        return _without_gradients(results, "the model raises where gradients are asked for" if every else "")
    bad = [row for row in rows if not row.success]
    kinds = {note: sum(row.note == note for row in bad) for note in sorted({row.note for row in bad})}
    evidence = f"of {len(rows)} images the gradient is " + (
        ", ".join(f"{note} for {count}" for note, count in kinds.items()) or "neither zero nor non-finite for any"
    )
    return _unless(len(bad), len(every) - len(rows), max(1.0, SMALLEST_GAP * len(every)) - 1e-9, evidence)


def _trend(results: Results) -> Judged:
    every = [row for (label, _), found in results.by.items() if label == probes.TREND for row in found.values()]
    rows = [row for row in every if row.success or row.tells]
    if not rows:
        return _without_gradients(results, f"no image has a result, {WITHOUT}" if every else "")
    wrong = sum(not row.success for row in rows)
    evidence = f"{probes.TREND_STEPS} small steps brought the attacker no nearer on {wrong} of {len(rows)} images"
    return _unless(wrong, len(every) - len(rows), MOST_WRONG_WAY * len(every), evidence)


def _without_gradients(results: Results, raises: str) -> Judged:
    if raises or results.about.access != "gradients":
        return None, raises or "the model gives no gradients"
    return unless_to_come(results, "none of the images that it looks at is right unattacked")


def _unless(bad: int, unknown: int, most: float, evidence: str) -> Judged:
    """Pass up to so many bad images; not where those without a result could change that."""
    evidence += f"; {unknown} more have no result, {WITHOUT}" if unknown else ""
    return (None if bad <= most < bad + unknown else bad <= most), evidence


def _twice(results: Results) -> Judged:
    clean = [row for row in results.by[probes.CLEAN, 0.0].values() if row.again is not None]
    hit = [row for row in results.rows if row.again is not None and row.attack != probes.CLEAN]
    if not clean and not results.about.randomised:
        return unless_to_come(results, "the model raises")
    moved, lost = sum(not row.again for row in clean), sum(not row.again for row in hit)
    evidence = (
        f"a second run gave other logits for {moved} of {len(clean)} images and undid {lost} of {len(hit)} examples"
    )
    if results.about.randomised:
        return False, evidence + "; the model is randomised, so its answers were averaged over 100 passes"
    if not moved and lost and any(row.alone is False for row in clean):
        return None, evidence + "; asked the same it answers the same, asked in other batches it does not: see there"
    return moved == 0 and lost == 0, evidence


def _alone(results: Results) -> Judged:
    clean = [row for row in results.by[probes.CLEAN, 0.0].values() if row.alone is not None]
    hit = [row for row in results.rows if row.alone is not None and row.attack != probes.CLEAN]
    if results.about.randomised:
        return None, "the model is randomised"
    if not clean:
        return unless_to_come(results, "the model raises")
    moved, lost = sum(not row.alone for row in clean), sum(not row.alone for row in hit)
    return moved == 0 and lost == 0, (
        f"alone, {moved} of {len(clean)} images get other logits than together, and {lost} of {len(hit)} examples fail"
    )


def _kept(field: str, what: str, expected: float = 0.0) -> Callable[[Results], Judged]:
    """Return the check that all but a share of the broken images, which is to be expected, stay so."""

    def judge(results: Results) -> Judged:
        """Compare robust accuracy with and without the condition, at each eps."""
        if not any(getattr(row, field) is not None for row in results.rows if row.attack != probes.CLEAN):
            return None, "there is no broken image whose example was looked at so"
        lines, failed = [], False
        for eps in results.about.eps:
            kept = _still_broken(results, eps, field)
            both = results.broken(eps, [label for label in results.attacks if label in _looked_at(results, field)])
            lost = int((both & ~kept).sum())
            failed |= lost > expected * both.sum() and beaten(lost, 0, results.count)[0]
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
    """Fail where who knows the detector gains by it, or gets more than a point of the images past it and the model."""
    lines, failed, unsure = [], False, False
    for eps in results.about.eps:
        alarm, unaware, aware = (results.outcomes([label], eps) for label in detection.LABELS)
        gained = tally(aware, unaware)
        if not gained.known:
            unsure |= bool(gained.images)
            continue
        passing, unknown = (sum(hit is kind for hit in aware.values()) for kind in (True, None))
        p = binomial(passing, len(aware), SMALLEST_GAP)
        alarms = sum(hit is True for hit in alarm.values())
        failed |= gained.failed or _is_many(passing, len(aware)) or _is_many(alarms, len(alarm), MOST_ALARMS)
        unsure |= gained.open or _is_many(passing + unknown, len(aware)) or passing > MOST_PASSING * len(aware)
        lines.append(
            f"eps {eps:g}: of {len(aware)} images {sum(hit is True for hit in unaware.values())} pass model and "
            f"detector where the attacker does not know it, {passing} where he does (p = {p:.2g} were it a point of "
            f"all images), with {alarms} false alarms on {len(alarm)} clean images"
            + (f"; {unknown} have no result, {WITHOUT}" if unknown else "")
        )
    if not lines:
        if unsure or results.about.identity.get("detector", NONE) == NONE:
            return None, f"no image has a result, {WITHOUT}" if unsure else "no detector was given"
        return unless_to_come(results, "no image was looked at")
    return False if failed else None if unsure else True, "; ".join(lines)


def _is_many(found: int, count: int, most: float = SMALLEST_GAP) -> bool:
    """Say whether so many images are more than a share of all, and not by chance (exact binomial, one-sided)."""
    return found >= most * count and binomial(found, count, most) <= LARGEST_P


_MASKED = (
    "Gradients do not lead where they should, so attacks by gradients overstate robustness. Replace what has no useful "
    "gradient by its backward pass (attacks.backward_pass), attack the logits, and trust the attacks without gradients."
)
CHECKS: dict[str, tuple[Callable[[Results], Judged], str]] = {
    ITERATIVE: (comparisons.iterative, _MASKED),
    "success grows with eps": (
        comparisons.grows,
        "A larger ball holds the smaller one: the attack got lost. Use more, smaller steps, restarts, another loss.",
    ),
    UNBOUNDED: (
        comparisons.unbounded,
        "With the whole box to choose from every image can be turned into another class's. " + _MASKED,
    ),
    LONGER: (
        comparisons.longer,
        "The attacks had not converged: raise their steps and restarts until the numbers stand still.",
    ),
    "white-box attacks beat black-box ones": (comparisons.black_box, _MASKED),
    TRANSFER: (comparisons.transfer, _MASKED),
    RANDOM: (comparisons.random_points, _MASKED),
    GRADIENTS: (
        _gradients,
        "Other tools, which climb cross-entropy, get stuck here: attack the logits (as the attacks here do), and for a "
        "step that has no gradient use attacks.backward_pass.",
    ),
    TREND: (
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
        _kept("rounded", "only until they are rounded", EXPECTED_LOSS),
        "Examples live between the values that an image file can hold. Attack with quantize=255.",
    ),
    "examples hold in the framework the model came from": (
        _kept("source", "only in advcore"),
        "The imported model is not the model: compare their logits, report the difference, attack the source itself.",
    ),
    DETECTOR: (
        _detector,
        "Who knows the detector gets examples past it and the model alike: it stops nobody, or only who does not know "
        "it. Report accuracy under attacks.joint, not the detection rate. (One that takes more than a tenth of the "
        "clean images for adversarial proves nothing: set its threshold by its false alarms.)",
    ),
}
