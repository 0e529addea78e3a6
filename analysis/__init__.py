"""Reading result folders: tables, EMM, figures and reports. Loads neither torch nor ray."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.errors import SkippedResultsWarning
    from analysis.results.load import load
    from analysis.runs.final import best, finished
    from analysis.runs.runs import Runs

__all__ = ["Runs", "SkippedResultsWarning", "best", "finished", "load"]

_HOMES = {
    "Runs": "analysis.runs.runs",
    "SkippedResultsWarning": "analysis.errors",
    "best": "analysis.runs.final",
    "finished": "analysis.runs.final",
    "load": "analysis.results.load",
}


def __getattr__(name: str) -> Any:
    # pandas takes half a second to import: `python -m analysis --help` need not wait for it.
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
