"""The demonstration: two classifiers of digits, three attacks, one detector, one report."""

from advcore._demo.pipeline import count_steps, run
from advcore._demo.report import write_report
from advcore._demo.settings import Settings
from advcore._demo.terminal import progress_bar, terminal_tables

__all__ = ["Settings", "count_steps", "progress_bar", "run", "terminal_tables", "write_report"]
