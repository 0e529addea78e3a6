"""Result folders to tidy tables: one row per evaluation, dotted keys as columns."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

REPORTED = (
    "epoch",
    "images_seen",
    "loss",
    "memorization_ratio",
    "memorization_ratio_low",
    "memorization_ratio_high",
    "best_memorization_ratio",
    "knn_distance",
    "num_samples",
    "images_per_second",
)
"""What a trial reports at every evaluation."""


def load(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Read Tune experiment folders into one frame: one row per evaluation of each trial.

    Args:
        paths: one experiment folder or several.

    Returns:
        Columns `experiment`, `trial_id`, the dotted experiment keys (`data.size`, ...), the reported numbers,
        and `seconds` (wall time of the trial so far); ordered by trial and images seen.
    """
    folders = [paths] if isinstance(paths, str | Path) else list(paths)
    rows = [row for folder in folders for row in _experiment_rows(Path(folder))]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    frame = frame.drop_duplicates(["experiment", "trial_id", "images_seen"], keep="last")
    return frame.sort_values(["experiment", "trial_id", "images_seen"], ignore_index=True)


def _experiment_rows(folder: Path) -> Iterable[dict[str, Any]]:
    for file in sorted(folder.glob("*/result.json")):
        for line in file.read_text().splitlines():
            try:
                result = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed trial may be cut
            if "memorization_ratio" not in result:
                continue
            yield {
                "experiment": folder.name,
                "trial_id": result.get("trial_id"),
                **_flat(result.get("config", {})),
                **{key: result.get(key) for key in REPORTED},
                "seconds": result.get("time_total_s"),
            }


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """Lists (skip masks, channel multipliers) become text, so that they can be grouped and stored."""
    return {key: ",".join(map(str, value)) if isinstance(value, list) else value for key, value in config.items()}


def best(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per trial: its evaluation with the highest ratio, the paper's number of a run."""
    ranked = frame.sort_values("memorization_ratio", ascending=False, kind="stable")
    return ranked.drop_duplicates(["experiment", "trial_id"]).sort_index(ignore_index=True)


def moved_keys(frame: pd.DataFrame, known: Sequence[str] | None = None) -> list[str]:
    """The dotted keys that differ among the trials of a frame."""
    keys = known or [column for column in frame.columns if "." in column or column == "seed"]
    return [key for key in keys if len(frame[key].unique()) > 1]
