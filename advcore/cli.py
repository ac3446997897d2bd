"""The command ``advcore``. Commands are thin: they parse, call and print; what they need is imported when they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import advcore
from advcore import _commands

if TYPE_CHECKING:
    from rich.table import Table


class Commands(click.Group):
    """A group whose commands end with one clear line where the user's input or installation is at fault."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error that we raise for users becomes a message and exit code 1."""
        try:
            return super().invoke(ctx)
        except (TypeError, ValueError, ArithmeticError, OSError, ImportError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(advcore.__version__, prog_name="advcore")
def main() -> None:
    """How robust is a classifier? Attacks, detectors and an honest evaluation on fast CPU kernels."""


def _set_threads(_context: click.Context, _option: click.Parameter, threads: int | None) -> None:
    if threads:
        advcore.set_num_threads(threads)


_threads = click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    callback=_set_threads,
    expose_value=False,
    help="Threads of the kernels (default: all cores). Results do not depend on it.",
)


@main.command()
def info() -> None:
    """Show what this installation runs on."""
    from rich.table import Table

    config = advcore.show_config()
    optional = config.pop("optional")
    table = Table.grid(padding=(0, 2))
    rows = {
        "advcore": config["version"],
        "CPU": config["cpu"],
        "instruction set": f"{config['level']} (available: {', '.join(config['levels'])})",
        "threads": str(config["threads"]),
        "OpenMP": config["openmp"],
        "Python, NumPy": f"{config['python']}, {config['numpy']}",
        "optional": ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in optional.items()),
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}", value)
    _print(table)


@main.command()
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything that is drawn.")
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("advcore-report"),
    show_default=True,
    help="Folder for report.html, results.json and results.csv.",
)
@click.option(
    "--data",
    "source",
    type=click.Path(path_type=Path),
    help="Folder with MNIST's IDX files (default: the digits that come with scikit-learn).",
)
@click.option("--quick", is_flag=True, help="Fewer epochs, images, budgets and steps.")
@_threads
def demo(seed: int, folder: Path, source: Path | None, quick: bool) -> None:
    """Train two classifiers of digits, attack them, detect the attacks, and write a report."""
    from advcore import data
    from advcore._demo import Settings, count_steps, progress_bar, run, terminal_tables, write_report
    from advcore._files import check_writable

    check_writable(folder)
    digits = data.idx(source) if source else data.digits()
    settings = Settings.quick(seed) if quick else Settings(seed)
    with progress_bar(count_steps(digits, settings)) as tell:
        outcome = run(digits, settings, tell)
        tell("Writing the report", 0)
        found = write_report(outcome, folder)
    for table in terminal_tables(found):
        _print(table)
        click.echo()
    click.echo(f"The report is {folder / 'report.html'}, the numbers are in results.json and results.csv beside it.")


@main.command()
@click.option("--operation", "operations", multiple=True, metavar="NAME", help="Only this operation; may be repeated.")
@_threads
def selftest(operations: tuple[str, ...]) -> None:
    """Compare every operation with PyTorch on this machine."""
    from rich.console import Console
    from rich.progress import track

    from advcore import reference  # noqa: F401  # says which extra to install where PyTorch is missing
    from advcore._selftest import select, table
    from advcore._selftest import selftest as run

    cases = select(operations)
    verdicts = run(track(cases, "Comparing", console=Console(stderr=True), transient=True))
    _print(table(verdicts))
    failures = [failure for verdict in verdicts for failure in verdict.failures]
    for failure in failures:
        click.echo(failure)
    if failures:
        raise click.ClickException(f"{len(failures)} of {2 * len(cases)} comparisons failed")
    click.echo(f"All {2 * len(cases)} comparisons are within tolerance.")


@main.command()
@click.option("--family", "families", multiple=True, metavar="NAME", help="Only this family; may be repeated.")
@click.option("--case", "only", default="", metavar="TEXT", help="Only cases with this text in their name.")
@click.option("--threads", default="1,2", show_default=True, metavar="N,N", help="Numbers of threads.")
@click.option(
    "--json", "file", type=click.Path(path_type=Path), help="Write everything that was measured to this file."
)
@click.option("--markdown", "page", type=click.Path(path_type=Path), help="Write the tables to this file.")
@click.option("--plot", "figure", type=click.Path(path_type=Path), help="Draw a roofline to this .png or .svg file.")
@click.option("--quick", is_flag=True, help="3 short rounds: a glance, not a result.")
def bench(
    families: tuple[str, ...],
    only: str,
    threads: str,
    file: Path | None,
    page: Path | None,
    figure: Path | None,
    quick: bool,
) -> None:
    """Time the operations against other libraries, each in a process of its own."""
    from rich.console import Console
    from rich.progress import track

    from advcore import _check
    from advcore._bench import Campaign, Settings, document, markdown, tables
    from advcore._bench.roofline import FORMATS, draw
    from advcore._files import check_writable, write

    for wanted in (file, page, figure):
        if wanted:
            check_writable(wanted.parent)
    if figure:
        _check.suffix("plot", figure, FORMATS)
    settings = Settings(rounds=3, seconds=0.01) if quick else Settings()
    campaign = Campaign(families, _thread_counts(threads), settings, only)
    for peer, packages in campaign.missing.items():
        click.echo(f"Without {peer}: {', '.join(packages)} is not installed.", err=True)
    steps = track(campaign.run(), "Timing", total=len(campaign), console=Console(stderr=True), transient=True)
    timings = []
    try:
        for timing in steps:
            timings.append(timing)
            if file:  # what is measured stays, whatever ends the run
                write(file, json.dumps(document(campaign, timings), indent=1))
            if page:
                write(page, markdown(timings))
    finally:
        for table in tables(timings):
            _print(table)
        if figure and timings:
            write(figure, draw(timings, figure.suffix))


main.add_command(_commands.evaluate)
main.add_command(_commands.train)
main.add_command(_commands.compare)


def _print(table: Table) -> None:
    """Print a table; where there is no terminal it is as wide as it needs to be."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def _thread_counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise click.BadParameter(f"expected positive numbers with commas between, as in 1,2, got {text!r}")
    return counts
