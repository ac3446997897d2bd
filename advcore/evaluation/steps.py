"""What is to be done, in order: the steps of each chunk of samples, and who takes part in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from advcore.evaluation import checks, detection, probes
from advcore.evaluation.grid import EIGHT_BITS
from advcore.evaluation.plan import Effort, Planned, lengthened
from advcore.evaluation.rows import EVERY_EPS

RANDOM_DRAWS = Planned(probes.RANDOM, "uniform_noise")
_SAMPLED, _PROBED = 1, 2  # streams of the random samples of images


@dataclass(frozen=True)
class Step:
    """One attack or probe for all chunks, at one eps.

    Attributes
    ----------
    label : str
    eps : float
    planned : Planned or None
    run : callable or None
        As Task's.
    everyone : bool
        On all images that the model has right; otherwise on those that are unbroken at this eps.
    images : int or None
        On a random sample of so many images; ``stream`` tells one sample from another.
    stream : int
    options : object
        Of the probe.
    breaks : bool
        What it breaks need not be broken by the steps after it.
    labels : tuple of str
        In its rows.
    rounded_away : bool
        Only on images whose examples, those of earlier such steps included, were all lost by rounding to 8 bits.
    """

    label: str
    eps: float
    planned: Planned | None = None
    run: Callable[..., Any] | None = None
    everyone: bool = False
    images: int | None = None
    stream: int = _PROBED
    options: Any = None
    breaks: bool = False
    labels: tuple[str, ...] = ()
    rounded_away: bool = False


def first_steps(has_gradients: bool) -> list[Step]:
    """Return the steps that look at the inputs themselves; everyone takes part in the first."""
    steps = [Step(probes.CLEAN, 0.0, run=probes.clean, labels=(probes.CLEAN,))]
    if has_gradients:
        steps.append(Step(probes.GRADIENTS, 0.0, run=probes.gradients, everyone=True, labels=(probes.GRADIENTS,)))
    return steps


def attack_steps(
    plan: tuple[Planned, ...], eps: tuple[float, ...], effort: Effort | None, norm: str, unbounded: float, **about: Any
) -> dict[float, list[Step]]:
    """Return the steps at each eps, in order; with EVERY_EPS for those without a budget.

    Parameters
    ----------
    plan : tuple of Planned
    eps : tuple of float, ascending
    effort : Effort or None
        Of the probes; None: no probes.
    norm : str
    unbounded : float
        An eps whose ball holds the whole box. One of eps may be as large: it has the steps of any other, and these.
    **about
        has_gradients, surrogates (names), detector (bool: whether one is attacked), on_grid (bool: x are 8-bit images).
    """
    with_budget = [p for p in plan if p.has_budget]
    steps = {e: [_attack(p, e) for p in with_budget] for e in eps}
    steps[EVERY_EPS] = [_attack(p, EVERY_EPS) for p in plan if not p.has_budget]
    if effort is None:
        return steps
    white = about["has_gradients"]
    strongest = _strongest(plan, white)
    for e in eps:
        if white:
            steps[e] = _with_some_on_all_images(steps[e])
            steps[e].insert(0, _attack(_single_step(norm), e, breaks=False))
            steps[e] += [_longer(p, e, effort) for p in strongest if lengthened(p, effort)][:1]
            steps[e] += [_black_box(p, e, effort) for p in with_budget if p.access != "gradient"][:1]
        if about.get("on_grid", True):
            steps[e] += [_among_8_bit_images(p, e) for p in with_budget]
        if RANDOM_DRAWS.fits(norm):
            drawn = replace(RANDOM_DRAWS, options={"draws": effort.draws}, images=effort.images)
            steps[e].append(replace(_attack(drawn, e), stream=_PROBED))
        if about["detector"]:
            step = _probe(detection.PREFIX, e, detection.probe, effort.images, everyone=True, options=effort.queries)
            steps[e].append(replace(step, labels=detection.LABELS))
        if about["surrogates"]:
            steps[e].append(_transfer(e, about["surrogates"], effort, white))
    middle = eps[len(eps) // 2]
    if white and middle > 0:
        steps[middle].append(_probe(probes.TREND, middle, probes.trend, effort.images, everyone=True))
    # Behind others, which leave only what they did not break, it must be tried on all images to tell of all.
    shared = unbounded in steps
    steps.setdefault(unbounded, []).extend(_unbounded(strongest, unbounded, effort, everyone=shared))
    return steps


def not_run(
    plan: tuple[Planned, ...], effort: Effort | None, norm: str, *, has_gradients: bool, detector: bool
) -> dict[str, str]:
    """Return why a run of such a plan has nothing to say to some checks, by their names."""
    if effort is None:
        left_out = [checks.LONGER, checks.RANDOM, checks.UNBOUNDED, checks.TRANSFER]
        left_out += [checks.ITERATIVE, checks.TREND] if has_gradients else []
        left_out += [checks.DETECTOR] if detector else []
        return dict.fromkeys(left_out, "the probes of the checklist were left out")
    found = {} if RANDOM_DRAWS.fits(norm) else {checks.RANDOM: f"no random points are drawn in {norm}"}
    strongest = _strongest(plan, has_gradients)
    if has_gradients and strongest and not any(lengthened(p, effort) for p in strongest):
        verb = "has" if len(strongest) == 1 else "have"
        found[checks.LONGER] = f"{' and '.join(p.label for p in strongest)} {verb} neither steps nor restarts"
    return found


def _strongest(plan: tuple[Planned, ...], white: bool) -> list[Planned]:
    return [p for p in plan if p.has_budget and (p.access == "gradient" or not white)]


def _attack(planned: Planned, eps: float, breaks: bool = True) -> Step:
    label = planned.label
    everyone, images = planned.everyone, planned.images
    return Step(label, eps, planned, None, everyone, images, _SAMPLED, breaks=breaks, labels=(label,))


def _with_some_on_all_images(steps: list[Step]) -> list[Step]:
    """Return the steps, with the first attack by gradients, and the first of several steps, on all images.

    On what another attack left they could not be seen to lose to it.
    """
    white = [i for i, step in enumerate(steps) if step.planned and step.planned.access == "gradient"]
    first = white[:1] + [i for i in white if (planned := steps[i].planned) and planned.is_iterative][:1]
    return [replace(step, everyone=True) if i in first else step for i, step in enumerate(steps)]


def _single_step(norm: str) -> Planned:
    name = {"linf": "fgsm", "l2": "fgm"}.get(norm)
    if name is not None:
        return Planned(probes.SINGLE_STEP, name, everyone=True)
    return Planned(probes.SINGLE_STEP, "pgd", {"steps": 1, "random_start": False}, everyone=True)


def _longer(planned: Planned, eps: float, effort: Effort) -> Step:
    options = dict(planned.options) | lengthened(planned, effort)
    longer = Planned(probes.LONGER, planned.attack, options, draws=planned.draws)
    return Step(probes.LONGER, eps, longer, images=effort.images, breaks=True, labels=(probes.LONGER,))


def _among_8_bit_images(planned: Planned, eps: float) -> Step:
    """Return the attack on what rounding saved: the nearest example is seldom among 8-bit images, another may be."""
    label = f"{probes.ROUNDED}, {planned.label}"
    options = dict(planned.options) | {"quantize": EIGHT_BITS}
    step = _attack(Planned(label, planned.attack, options, draws=planned.draws), eps, breaks=False)
    return replace(step, everyone=True, rounded_away=True)


def _black_box(planned: Planned, eps: float, effort: Effort) -> Step:
    """Return the attack on images whether others broke them or not: on survivors alone it could only win."""
    everyone = Planned(probes.BLACK_BOX, planned.attack, planned.options, everyone=True)
    return replace(_attack(everyone, eps, breaks=False), images=effort.images, stream=_PROBED)


def _probe(label: str, eps: float, run: Callable[..., Any], images: int, **more: Any) -> Step:
    return Step(label, eps, run=run, images=images, labels=(label,), **more)


def _transfer(eps: float, surrogates: tuple[str, ...], effort: Effort, white: bool) -> Step:
    names = ("model", *surrogates)
    sources = names if white else surrogates
    labels = tuple(f"{probes.TRANSFER} {a} > {b}" for a in sources for b in names)
    return Step(probes.TRANSFER, eps, run=probes.transfer, everyone=True, images=effort.images, labels=labels)


def _unbounded(strongest: list[Planned], eps: float, effort: Effort, everyone: bool) -> Iterator[Step]:
    """Yield the first two attacks with a budget, which must break everything where the budget is the whole box."""
    for number, planned in enumerate(strongest[:2], 1):
        label = f"{probes.UNBOUNDED} {number}"
        unbounded = Planned(label, planned.attack, planned.options, draws=planned.draws)
        yield Step(label, eps, unbounded, None, everyone, effort.images, breaks=True, labels=(label,))
