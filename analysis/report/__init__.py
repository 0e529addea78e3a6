"""One self-contained HTML page on some sweeps: what was run, what was found, and how sure that is."""

from analysis.report.page import build

__all__ = ["build"]
