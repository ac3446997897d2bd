"""Timings against peers: every participant in a process of its own, agreement first, then in turn A B A B."""

from advcore._bench.campaign import Campaign, Settings
from advcore._bench.summary import document, geometric_means, markdown, tables

__all__ = ["Campaign", "Settings", "document", "geometric_means", "markdown", "tables"]
