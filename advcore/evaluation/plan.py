"""Which attacks an evaluation runs, as data: three levels, or names with options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from advcore import _check, attacks
from advcore.attacks import _registry

LEVELS = ("quick", "standard", "full")
_OF_THE_RUN = {  # options of attacks that an attack of a plan cannot have, and where they come from
    "seed": "evaluate's seed (--seed) is that of all attacks",
    "sample_ids": "an image's place in x is its id",
    "bounds": "evaluate's bounds (--bounds) are those of all attacks",
    "output": "evaluate's answers (--answers) says what the model returns",
    "randomised": "evaluate's randomised says so for all attacks",
    "max_seconds": "evaluate's max_seconds (--max-seconds) is for the whole run",
    "targets": "any wrong class counts",
    "starting_points": "images are attacked in chunks, and it has an entry for each of them",
}


@dataclass(frozen=True)
class Planned:
    """One attack of a plan.

    Attributes
    ----------
    label : str
        Its name in the report.
    attack : str
        Function in advcore.attacks.
    options : mapping
        Its own arguments but norm and eps, which it gets where it takes them.
    images : int or None
        It runs on a random sample of so many images; None: on all.
    everyone : bool
        It runs on every image that the model has right; otherwise on those that no attack before it has broken.
    draws : int or None
        Passes of a randomised model whose gradients it averages.
    """

    label: str
    attack: str
    options: Mapping[str, Any] = field(default_factory=dict)
    images: int | None = None
    everyone: bool = False
    draws: int | None = None

    @property
    def access(self) -> str:
        """What it needs of the model."""
        return _registry.access_of(self.attack)

    @property
    def has_budget(self) -> bool:
        """Whether it is given an eps; otherwise it looks for the nearest example, and one run serves every eps."""
        return "eps" in _parameters(self.attack)

    @property
    def is_iterative(self) -> bool:
        """Whether it climbs gradients within a budget in more than one step."""
        takes_steps = "steps" in _parameters(self.attack) and self.options.get("steps") != 1
        return self.has_budget and self.access == "gradient" and takes_steps

    def described(self, norm: str) -> dict[str, Any]:
        """Return the fields, and what follows of them in a run of that norm, by name."""
        derived = {name: getattr(self, name) for name in ("access", "has_budget", "is_iterative")}
        return asdict(self) | derived | {"in_norm": self.works_in(norm)}

    def arguments(self, norm: str, eps: float) -> dict[str, Any]:
        """Return the keyword arguments for a budget."""
        own = dict(self.options)
        if self.has_budget:
            own["eps"] = eps
        if "norm" in _parameters(self.attack) and norm in _norms(self.attack):
            own.setdefault("norm", norm)
        return own

    def works_in(self, norm: str) -> bool:
        """Whether it keeps that norm small, or within a budget, rather than another."""
        return norm in _norms(self.attack) and self.options.get("norm", norm) == norm

    def fits(self, norm: str) -> bool:
        """Whether it can work within a budget of that norm; without a budget any distance counts."""
        return not self.has_budget or norm in _norms(self.attack)


@dataclass(frozen=True)
class Effort:
    """How much the probes of the checklist do; all but draws and steps count images."""

    images: int  # for probes that are dear
    draws: int  # random points a sample
    steps: int  # of the longer attack that should change nothing
    restarts: int
    queries: int  # of attacks by scores on model and detector together


EFFORTS = {
    "quick": Effort(images=50, draws=1000, steps=50, restarts=2, queries=500),
    "standard": Effort(images=100, draws=10_000, steps=200, restarts=3, queries=5000),
    "full": Effort(images=500, draws=10_000, steps=1000, restarts=5, queries=5000),
}

LARGEST_OWN = 520  # twice the steps that bim takes by itself: one a grey level, and four
_APGD_CE, _APGD_T, _FAB_T, _SQUARE = "APGD-CE", "APGD-T", "FAB-T", "Square"
WHITE_BOX = (_APGD_CE, _APGD_T, _FAB_T)  # whose worst case the checks call white-box, where they run


def _ensemble(steps: int, classes: int, queries: int) -> tuple[Planned, ...]:
    """Return AutoAttack's four attacks, each on the survivors of the last (Croce, Hein 2020)."""
    return (
        Planned(_APGD_CE, "apgd", {"steps": steps, "loss": "cross_entropy"}, everyone=True),
        Planned(_APGD_T, "apgd", {"steps": steps, "loss": "dlr", "target_classes": classes}),
        Planned(_FAB_T, "fab", {"steps": steps, "target_classes": classes}),
        Planned(_SQUARE, "square", {"steps": queries}),
    )


_MINIMUM = (
    Planned("C&W", "carlini_wagner", {"steps": 1000}, images=50, everyone=True),
    Planned("ZOO", "zoo", {"c": 10.0, "steps": 1000, "stop_at_first_success": True}, images=20, everyone=True),
)
_MORE = (
    Planned("PGD", "pgd", {"steps": 100, "restarts": 5}),
    Planned("BIM", "bim", {}),
    Planned("DeepFool", "deepfool", {}, images=200, everyone=True),
    Planned("DDN", "ddn", {}, images=200, everyone=True),
    Planned("HopSkipJump", "hop_skip_jump", {}, images=20, everyone=True),
)
PLANS: dict[str, tuple[Planned, ...]] = {
    "quick": _ensemble(20, 3, 500),
    "standard": (*_ensemble(100, 9, 5000), *_MINIMUM),
    "full": (*_ensemble(100, 9, 5000), *_MINIMUM, *_MORE),
}
RANDOMISED = (
    Planned(_APGD_CE, "apgd", {"steps": 100, "loss": "cross_entropy"}, everyone=True, draws=20),
    Planned("APGD-DLR", "apgd", {"steps": 100, "loss": "dlr"}, draws=20),
)
LABELS_ONLY = (
    Planned("HopSkipJump", "hop_skip_jump", {}, images=50, everyone=True),
    Planned("Boundary", "boundary", {}, images=20, everyone=True),
)


def chosen(attacks_given: str | Sequence[object]) -> tuple[str, tuple[Planned, ...]]:
    """Return the name of a plan and its attacks.

    Parameters
    ----------
    attacks_given : "quick", "standard", "full", or sequence
        Of names in advcore.attacks, of pairs (name, options), or of Planned.

    Raises
    ------
    TypeError, ValueError
        If there is no such attack, or it has no such option.
    """
    if isinstance(attacks_given, str):
        if attacks_given in LEVELS:
            return attacks_given, PLANS[attacks_given]
        attacks_given = [attacks_given]
    planned = [_planned(entry) for entry in _check.sequence("attacks", attacks_given)]
    if not planned:
        raise ValueError("attacks must not be empty")
    if repeated := sorted({p.label for p in planned if [q.label for q in planned].count(p.label) > 1}):
        planned = [replace(p, label=f"{p.label} {n}") if p.label in repeated else p for n, p in enumerate(planned, 1)]
    first = next((n for n, p in enumerate(planned) if p.has_budget), None)
    if first is not None:  # the first one sees all images, so that checks can compare with it
        planned[first] = replace(planned[first], everyone=True)
    return "custom", tuple(planned)


def lengthened(planned: Planned, effort: Effort) -> dict[str, Any]:
    """Return the options with which an attack takes more steps and restarts; none where it has neither.

    As many as the effort says, or twice its own where these are more.
    """
    known, own = _parameters(planned.attack), planned.options
    more: dict[str, Any] = {}
    for name, most in (("steps", effort.steps), ("restarts", effort.restarts)):
        # Without a random start every restart would be the first once more, and is refused.
        if name in known and (name == "steps" or own.get("random_start", True)):
            given = own.get(name, known[name].default)
            more[name] = max(most, LARGEST_OWN) if given is None else most if given < most else 2 * given
    return more


def parsed(text: str) -> Any:
    """Read the attacks of a command line: a level, or ``pgd:steps=100,restarts=5;square``."""
    if text.strip() in LEVELS:
        return text.strip()
    found = []
    for entry in text.split(";"):
        name, _, options = entry.strip().partition(":")
        pairs = {}
        for pair in filter(None, (part.strip() for part in options.split(","))):
            key, equals, value = pair.partition("=")
            if not equals:
                raise ValueError(f"options of an attack must be written name=value, got {pair!r} for {name}")
            pairs[key.strip()] = _value(value.strip())
        found.append((name.strip(), pairs))
    return found


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _planned(entry: object) -> Planned:
    if isinstance(entry, Planned):
        _refuse_of_the_run(entry.attack, entry.options)
        return entry
    name, options = entry if isinstance(entry, (tuple, list)) and len(entry) == 2 else (entry, {})
    names = tuple(row["name"] for row in attacks.available())
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"attacks must be quick, standard, full, or names among {', '.join(names)}; got {name!r}")
    if not isinstance(options, Mapping):
        raise TypeError(f"the options of {name} must be a mapping, got a {type(options).__name__}")
    _refuse_of_the_run(name, options)
    own = set(_parameters(name)) - {"model", "x", "y", "eps", "norm", *_OF_THE_RUN}
    if unknown := sorted(set(options) - own):
        raise ValueError(f"{name} has no option {unknown[0]!r}, only {', '.join(sorted(own))}")
    needed = [key for key in sorted(own - set(options)) if _parameters(name)[key].default is inspect.Parameter.empty]
    if needed:
        raise ValueError(
            f"{name} must be given {', '.join(needed)}, in Python: attacks=[({name!r}, {{{needed[0]!r}: ...}})]"
        )
    return Planned(name, name, dict(options), everyone="eps" not in _parameters(name))


def _refuse_of_the_run(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that a run sets itself, for all attacks alike."""
    for key, reason in _OF_THE_RUN.items():
        if key in options:
            raise ValueError(f"{name} cannot be given {key} by itself: {reason}")
    for key in ("max_queries", "max_evaluations"):
        if options.get(key) is not None:
            _check.integer(f"{key} of {name}", options[key], minimum=1)


def _norms(name: str) -> list[str]:
    row = next(row for row in attacks.available() if row["name"] == name)
    return row["norm"].partition("(")[0].replace(" ", "").split(",")


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(getattr(attacks, name)).parameters
