"""What a sweep leaves behind: table, figure, gallery, and the last lines on the screen."""

import io
import warnings
from typing import Any

import fsspec
import pandas as pd
from matplotlib.figure import Figure

from analysis.errors import AnalysisError, SkippedResultsWarning
from analysis.figures.factor import ratio_over_factor
from analysis.figures.gallery import gallery, gallery_rows
from analysis.tables import best, load
from sweeps.engine.manifest import Manifest

_GALLERY_TRIALS = 6


def write_outcome(run_path: str, manifest: Manifest) -> None:
    """Write table.csv, table.parquet, figure and gallery into the run's folder, and say what was found."""
    try:
        with warnings.catch_warnings():
            # The sweep itself says which trials are unfinished.
            warnings.simplefilter("ignore", SkippedResultsWarning)
            frame = load(run_path)
    except AnalysisError:
        print("no evaluation was reached yet, so there is no table", flush=True)
        return
    filesystem, path = fsspec.core.url_to_fs(run_path)

    def write(name: str, content: bytes) -> None:
        with filesystem.open(f"{path}/{name}", "wb") as file:
            file.write(content)

    write("table.csv", frame.to_csv(index=False).encode())
    write("table.parquet", frame.to_parquet(index=False))
    figure = ratio_over_factor(frame, manifest.key, manifest.title, manifest.scale)  # type: ignore[arg-type]
    write("figure.png", _render(figure, "png"))
    write("figure.pdf", _render(figure, "pdf"))
    rows = gallery_rows(frame, manifest.moved, _GALLERY_TRIALS)
    if rows:
        write("gallery.png", _render(gallery(rows), "png"))
    for line in findings(frame, manifest):
        print(line)
    print(
        f"results in {run_path}: table.csv, table.parquet, figure.png{', gallery.png' if rows else ''}",
        flush=True,
    )


def findings(frame: pd.DataFrame, manifest: Manifest) -> list[str]:
    """The highest ratio of each trial, a line per size."""
    runs = best(frame)
    lines = []
    for size, part in runs.groupby("data.size"):
        entries = part.sort_values(manifest.key, na_position="first").groupby(manifest.key, dropna=False, sort=False)
        numbers = [f"{_short(value)}: {100 * group['memorization_ratio'].mean():.1f}%" for value, group in entries]
        lines.append(f"|D| = {size:,}  memorization ratio by {manifest.title.lower()}  " + "  ".join(numbers))
    return lines


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def _render(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=160)
    return buffer.getvalue()


__all__ = ["findings", "write_outcome"]
