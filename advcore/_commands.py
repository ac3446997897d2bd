"""The commands about a user's own model: evaluate, train, compare."""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import click

_KEYS_OF_FILE = "TOML file with options, by the names below without dashes; those of the command line come first."


def _from_file(context: click.Context, _option: click.Parameter, file: Path | None) -> None:
    """Take defaults from a TOML file, before the other options are looked at."""
    if file is None:
        return
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise click.BadParameter(f"there is no file {file}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{file} is no TOML file: {error}") from None
    names = {p.opts[0].lstrip("-"): p.name for p in context.command.params if p.name != "config"}
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key not in names:
            raise click.BadParameter(f"{file} has an unknown key {key!r}; known are {', '.join(sorted(names))}")
        between = ";" if key == "attacks" else ","
        found[str(names[key])] = between.join(str(entry) for entry in value) if isinstance(value, list) else value
    context.default_map = {**(context.default_map or {}), **found}


_config = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_from_file,
    help=_KEYS_OF_FILE,
)


def _threads(_context: click.Context, _option: click.Parameter, threads: int | None) -> None:
    import advcore

    if threads:
        advcore.set_num_threads(threads)


_threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    callback=_threads,
    expose_value=False,
    help="Threads of the kernels, in each worker (default: all cores). Results of networks do not depend on it.",
)


@click.command()
@click.argument("model")
@click.option("--data", "source", required=True, help=".npz file, IDX folder, folder of images a class, or digits.")
@click.option(
    "--images", type=click.IntRange(1), help="Only the first so many; in a folder of images, of each class in turn."
)
@click.option("--norm", type=click.Choice(["linf", "l2", "l1"]), default="linf", show_default=True)
@click.option("--eps", required=True, metavar="EPS,EPS", help="Budgets: 0.1,0.2 or 8/255.")
@click.option(
    "--attacks",
    "attacks_text",
    default="standard",
    show_default=True,
    help='quick, standard, full, or names with options: "pgd:steps=100,restarts=5;square".',
)
@click.option(
    "--checks",
    type=click.Choice(["auto", "none", "quick", "standard", "full"]),
    default="auto",
    show_default=True,
    help="How thorough the probes of the checklist are; auto: as the attacks.",
)
@click.option("--detector", help="Detector, fitted, as package.module:factory; attacked with the model.")
@click.option("--answers", help="What a plain callable returns: logits, probabilities, top1 or label.")
@click.option("--mean", help="The model takes (x - mean) / std: one number, or one a channel.")
@click.option("--std", help="See --mean.")
@click.option("--layout", type=click.Choice(["NCHW", "NHWC"]), default="NCHW", show_default=True)
@click.option("--bounds", default="0,1", show_default=True, metavar="LOW,HIGH", help="The box of valid inputs.")
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="Report what there is after this time.")
@click.option("--max-queries", type=click.IntRange(1), help="Forward evaluations an attack may spend on an image.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--chunk-size", type=click.IntRange(1), default=128, show_default=True, help="Images attacked together.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("advcore-evaluation"),
    show_default=True,
    help="Folder of the results; a run that was stopped there goes on.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes of a local Dask cluster.")
@click.option("--scheduler", help="Address of a Dask scheduler: tcp://host:8786.")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost.")
@_threads_option
@_config
def evaluate(
    model: str,
    source: str,
    images: int | None,
    norm: str,
    eps: str,
    attacks_text: str,
    checks: str,
    detector: str | None,
    answers: str | None,
    mean: str | None,
    std: str | None,
    layout: str,
    bounds: str,
    max_seconds: float | None,
    max_queries: int | None,
    seed: int,
    chunk_size: int,
    output: Path,
    workers: int | None,
    scheduler: str | None,
    dry_run: bool,
) -> None:
    """Attack MODEL and report how robust it is, and whether the number can be believed.

    MODEL is a .safetensors file of advcore, an .onnx file, a program of torch.export (.pt2), or package.module:factory,
    a function that returns a network, a torch module or a callable.
    """
    from advcore.evaluation import cluster, dry, plan, sources
    from advcore.evaluation import evaluate as run
    from advcore.evaluation.given import Given
    from advcore.evaluation.terminal import print_report, progress_bar

    _find_factories_here()
    low_high = sources.numbers(bounds, "--bounds")
    if len(low_high) != 2 or not -3e38 < low_high[0] < low_high[1] < 3e38:
        raise click.BadParameter(f"expected LOW,HIGH that float32 can hold, got {bounds!r}", param_hint="--bounds")
    found = sources.samples(source, images, (low_high[0], low_high[1]))
    prepared = {
        "mean": None if mean is None else sources.numbers(mean, "--mean"),
        "std": None if std is None else sources.numbers(std, "--std"),
    }
    opened = sources.opened(sources.model(model, layout=layout, **prepared), model, found.x.shape[1:])
    budgets, attacks = sources.numbers(eps, "--eps"), plan.parsed(attacks_text)
    if workers and scheduler:
        raise click.UsageError("--workers makes a cluster and --scheduler takes one: give either")
    options = {
        "norm": norm,
        "eps": budgets,
        "attacks": attacks,
        "checks": {"auto": True, "none": False}.get(checks, checks),
        "seed": seed,
        "bounds": low_high,
        "answers": answers,
        "detector": None if detector is None else sources.detector(detector),
        "max_queries": max_queries,
        "chunk_size": chunk_size,
    }
    if dry_run:
        given = Given.checked(opened, found.x, found.y, output=None, randomised=None, source=None, **options)
        click.echo(dry.expected(given))
        return
    options |= {
        "output": output,
        "max_seconds": max_seconds,
        "names": {"model": Path(model).name, "data": found.name},
        "command": _command(),
    }
    with cluster.connected(workers, scheduler) as engine, progress_bar() as tell:
        try:
            report = run(opened, found.x, found.y, progress=tell, **engine, **options)
        except KeyboardInterrupt:
            raise click.ClickException(
                f"stopped; {output} has what was found so far, and the same command goes on"
            ) from None
    print_report(report)
    click.echo(f"The report is {output / 'report.html'}; results.json, results.csv and results.sqlite lie beside it.")


def _find_factories_here() -> None:
    """Let package.module:factory lie in the working folder, which is on the path of python -m but not of a command."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())


def _command() -> str:
    return shlex.join(["advcore", *sys.argv[1:]])


@click.command()
@click.argument("source", metavar="DATA")
@click.option("--model", "name", default="small_cnn", show_default=True, help="A function of advcore.models.")
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True)
@click.option("--adversarial", metavar="EPS", help="Train on PGD's examples within this Linf budget (0.1 or 8/255).")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("model.safetensors"),
    show_default=True,
    help="File.",
)
@_threads_option
@_config
def train(
    source: str,
    name: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    adversarial: str | None,
    seed: int,
    output: Path,
) -> None:
    """Train a model of advcore.models on DATA: an .npz file, an IDX folder, a folder of images a class, or digits."""
    from advcore._check import suffix
    from advcore._files import check_writable
    from advcore.evaluation import training
    from advcore.evaluation.sources import numbers

    suffix("--output", output, (".safetensors",))
    check_writable(output.parent)
    budgets = [] if adversarial is None else numbers(adversarial, "--adversarial")
    if len(budgets) > 1:
        raise click.BadParameter(f"must be one number, got {adversarial}", param_hint="--adversarial")
    eps = budgets[0] if budgets else None
    network, told = training.train(
        source, name, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, eps=eps, seed=seed
    )
    network.save(output)
    click.echo(f"{told}; the model is {output}")


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Set two runs of evaluate side by side, with a paired test; FIRST and SECOND are their output folders."""
    from advcore.evaluation.compare import compare as comparison
    from advcore.evaluation.terminal import print_tables

    print_tables(comparison(first, second))
