"""Result folders to tidy tables: one row per evaluation, dotted keys as columns."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError, SkippedResultsWarning
from analysis.results.columns import REPORTED, joined, typed
from analysis.results.copies import without_copies
from analysis.results.experiment import Results, is_experiment, read_experiment
from analysis.results.schema import experiment_keys, with_defaults
from analysis.results.store import RESULT_FILE, Store, open_store
from analysis.results.urls import join_url


def load(paths: str | Path | Iterable[str | Path], cache: bool = True) -> pd.DataFrame:
    """Read Tune experiment folders into one frame: one row per evaluation of each trial.

    Args:
        paths: experiment folders, or folders of such folders, as paths or fsspec URLs (`s3://...`); finished,
            running, interrupted, moved or restored.
        cache: keep what was parsed in `.memosweep-cache.parquet` inside each experiment folder. A changed or
            new result is noticed and alone is parsed again.

    Returns:
        Columns `experiment` (folder name), `factor` and `preset` (of `sweep.json`), `trial_id`, `status`
        (terminated, error, running, interrupted), the dotted experiment keys (whole numbers Int64, lists such
        as skip masks as text `1,0,1`) and `seed`; what was reported (`REPORTED` and more, such as `fid`; ratios
        in 0..1); `seconds` (wall time of the trial so far), `cost_images` (training images that the whole trial
        has seen) and `folder` (path or URL of the trial). Ordered by experiment, trial and images seen; of an
        evaluation that a restored trial repeated, the last; of a trial that lies in several copies of its sweep, the
        copy that went furthest. `data.num_labels` is missing unless labels are random. Trials without a whole number as
        `data.size` are left out.

    Warns:
        SkippedResultsWarning: part of a folder could not be read.

    Raises:
        AnalysisError: nothing is left to read; one line.
    """
    frame, _, skipped = read(paths, cache)
    for line in skipped:
        warnings.warn(line, SkippedResultsWarning, stacklevel=2)
    return frame


def read(
    paths: str | Path | Iterable[str | Path], cache: bool = True
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]], list[str]]:
    """Read Tune experiment folders; `load` describes the arguments, the frame and the errors.

    Returns:
        the frame; by experiment its `sweep.json` without the list of trials; and in words what could not be read.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise AnalysisError("no result folder was given")
    results, skipped = [], []
    for path in given:
        try:
            stores = _experiments(open_store(path))
        except AnalysisError as error:
            skipped.append(str(error))
            continue
        for store in stores:
            result = read_experiment(store, cache)
            skipped += result.skipped
            if len(result.evaluations):
                results.append(result)
            elif not result.skipped:
                skipped.append(f"{store.location}: no trial has reported yet")
    if not results:
        raise AnalysisError(f"no results to read: {'; '.join(skipped)}")
    results, copies = without_copies(results)
    named = _distinct(results)
    return _tidy(named), {name: dict(result.manifest) for name, result in named}, [*skipped, *copies]


def _experiments(store: Store) -> list[Store]:
    """The folder itself, or the experiments directly inside it."""
    if is_experiment(store):
        return [store]
    if RESULT_FILE in store.files():
        raise AnalysisError(f"{store.location} is one trial: give the experiment folder that it lies in")
    inner = [open_store(join_url(store.location, name)) for name in store.folders()]
    found = [child for child in inner if is_experiment(child)]
    if not found:
        what = "is empty" if not inner and not store.files() else "holds no Tune experiment"
        raise AnalysisError(f"{store.location} {what}")
    return found


def _distinct(results: Sequence[Results]) -> list[tuple[str, Results]]:
    """Results with their names; equal names of different sweeps get their parent folder's name in front."""
    origins: dict[str, set[str]] = {}
    for result in results:
        origins.setdefault(result.store.name, set()).add(_origin(result))
    named = []
    for result in results:
        name = result.store.name
        if len(origins[name]) > 1:
            name = "/".join(result.store.location.rstrip("/").split("/")[-2:])
        named.append((name, result))
    return named


def _origin(result: Results) -> str:
    """Equal for copies of one sweep: its trials are named at random."""
    return str(result.manifest.get("started") or min(trial.trial_id for trial in result.trials))


def _tidy(results: Sequence[tuple[str, Results]]) -> pd.DataFrame:
    frames: list[pd.DataFrame] = []
    for name, result in results:
        rows = result.evaluations
        trial = rows["trial"].to_numpy(dtype=int)
        location, factor, preset = result.store.location, result.manifest.get("factor"), result.manifest.get("preset")
        about: dict[str, Sequence[Any]] = {
            "experiment": [name] * len(result.trials),
            "factor": [factor] * len(result.trials),
            "preset": [preset] * len(result.trials),
            "trial_id": [entry.trial_id for entry in result.trials],
            "status": result.statuses,
            "folder": [join_url(location, entry.folder) for entry in result.trials],
        }
        columns: dict[str, Any] = {key: typed(key, values).take(trial).array for key, values in about.items()}
        folder = columns.pop("folder")
        columns.update({str(key): rows[key].array for key in rows})
        frames.append(pd.DataFrame({**columns, "folder": folder}))
    frame = _ordered(with_defaults(joined(frames)))
    if len(results) > 1:
        frame = frame.sort_values(["experiment", "trial_id", "images_seen"], kind="stable", ignore_index=True)
        frame = frame.drop_duplicates(["experiment", "trial_id", "images_seen"], keep="last", ignore_index=True)
    return frame


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Who, the experiment, what was reported, and where it lies."""
    identity = ["experiment", "factor", "preset", "trial_id", "status"]
    described = [*identity, *experiment_keys(frame), *REPORTED]
    others = [name for name in frame.columns if name not in {*described, "trial", "cost_images", "folder"}]
    return frame[[*described, *others, "cost_images", "folder"]]
