"""The report as one HTML page that needs no other file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from advcore.evaluation import figures, grids
from advcore.evaluation.checks import FAIL
from advcore.evaluation.terminal import NORMS

if TYPE_CHECKING:
    from advcore.evaluation.report import Report


def page(report: Report, pictures: bool) -> str:
    """Return the page; without pictures where it is only a stage on the way."""
    found = report.results
    environment = Environment(
        loader=PackageLoader("advcore.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = lambda value: "–" if value is None else f"{value:.1%}"
    environment.filters["number"] = lambda value, form="{:,.0f}": "–" if value is None else form.format(value)
    pictures = pictures and not report.found.unknown.any()  # nothing has been attacked yet
    curves = _curves(report) if pictures else (None, None, None)
    return environment.get_template("report.html.jinja").render(
        found=found,
        norm=NORMS[found["settings"]["norm"]],
        failures=[check for check in found["checks"] if check["verdict"] == FAIL],
        attacks=_attacks(found),
        accuracy=curves[0],
        queries=curves[1],
        nearest=curves[2],
        classes=figures.per_class(found) if pictures else None,
        grids=list(grids.examples(report)) if pictures else [],
        matrices=list(_matrices(found)),
        settings=_settings(found),
    )


def _curves(report: Report) -> tuple[figures.Picture | None, ...]:
    return figures.accuracy(report.results), figures.queries(report.found), figures.minimum_norm(report.found)


def _attacks(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the attacks with their seconds; the targets of transfer have a table of their own."""
    times = found["times"]["attacks"]
    return [
        entry | {"seconds_a_success": times.get(entry["attack"], {}).get("seconds_a_success")}
        for entry in found["attacks"]
        if not entry["attack"].startswith("transfer")
    ]


def _matrices(found: dict[str, Any]) -> Any:
    """Yield, for each eps, the share of images misclassified: a row a source, a column a target."""
    for eps in found["settings"]["eps"]:
        entries = [entry for entry in found["transfer"] if entry["eps"] == eps]
        sources, targets = (list(dict.fromkeys(e[key] for e in entries)) for key in ("source", "target"))
        cell = {(e["source"], e["target"]): e["broken"] / e["images"] for e in entries}
        if entries:
            rows = [(source, [cell.get((source, target)) for target in targets]) for source in sources]
            yield {"eps": eps, "targets": targets, "rows": rows, "images": max(e["images"] for e in entries)}


def _settings(found: dict[str, Any]) -> dict[str, str]:
    settings, machine = found["settings"], found["machine"]
    plan = "; ".join(
        " ".join([p["label"], *(f"{key}={value}" for key, value in p["options"].items())]) for p in settings["plan"]
    )
    software = {"Python": machine["python"], "NumPy": machine["numpy"], **machine.get("software", {})}
    return {
        "norm and eps": f"{settings['norm']}, {', '.join(f'{eps:g}' for eps in settings['eps'])}",
        "bounds": f"{settings['bounds'][0]:g} to {settings['bounds'][1]:g}",
        "attacks": f"{settings['level']}: {plan}",
        "the model gives": settings["access"] + (", at random" if settings["randomised"] else ""),
        "seed": str(settings["seed"]),
        "chunk": f"{settings['chunk_size']} images",
        "advcore": f"{machine['version']}, {machine['level']}, {machine['threads']} threads",
        "machine": machine["cpu"],
        "software": ", ".join(f"{name} {version}" for name, version in software.items()),
        "hashes": ", ".join(f"{key} {value[:12]}" for key, value in found["identity"].items() if len(value) > 12),
    }
