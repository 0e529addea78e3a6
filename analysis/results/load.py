"""Result folders to tidy tables: one row per evaluation, dotted keys as columns."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import SkippedResultsWarning
from analysis.results.columns import joined, typed
from analysis.results.experiment import Results, is_experiment, read_experiment
from analysis.results.schema import REPORTED, experiment_keys, with_defaults
from analysis.results.store import RESULT_FILE, Store, join_url, open_store
from memo_core.errors import MemosweepError


def load(paths: str | Path | Iterable[str | Path], cache: bool = True) -> pd.DataFrame:
    """Read folders of sweeps into one frame: one row per evaluation of each trial.

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
        MemosweepError: nothing is left to read; one line.
    """
    frame, _, skipped = read(paths, cache)
    for line in skipped:
        warnings.warn(line, SkippedResultsWarning, stacklevel=2)
    return frame


def read(
    paths: str | Path | Iterable[str | Path], cache: bool = True
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]], list[str]]:
    """Read folders of sweeps; `load` describes the arguments, the frame and the errors.

    Returns:
        the frame; by experiment its `sweep.json` without the list of trials; and in words what could not be read.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise MemosweepError("no result folder was given")
    results, skipped = [], []
    for path in given:
        try:
            stores = _experiments(open_store(path))
        except MemosweepError as error:
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
        raise MemosweepError(f"no results to read: {'; '.join(skipped)}")
    results, copies = _without_copies(results)
    named = _distinct(results)
    return _tidy(named), {name: dict(result.manifest) for name, result in named}, [*skipped, *copies]


def _experiments(store: Store) -> list[Store]:
    """The folder itself, or the experiments directly inside it."""
    if is_experiment(store):
        return [store]
    if RESULT_FILE in store.files():
        raise MemosweepError(f"{store.location} is one trial: give the experiment folder that it lies in")
    inner = [open_store(join_url(store.location, name)) for name in store.folders()]
    found = [child for child in inner if is_experiment(child)]
    if not found:
        what = "is empty" if not inner and not store.files() else "holds no sweep"
        raise MemosweepError(f"{store.location} {what}")
    return found


def _without_copies(results: Sequence[Results]) -> tuple[list[Results], list[str]]:
    """Keep one copy of each trial, whatever the names of the folders that its copies lie in.

    Returns:
        The results with their own trials, where they have any: of several copies of a trial the one that saw most
        images, of equals the one with more evaluations or the first; and a line for each folder whose trials lie in
        another one too.
    """
    trials = pd.concat([_counts(result).assign(result=number) for number, result in enumerate(results)])
    trials = trials.reset_index(names="trial")
    identity = ["trial_id", "folder"]
    # A lost `sweep.json` speaks neither for a copy nor against it.
    trials["started"] = trials["started"].fillna(trials.groupby(identity)["started"].transform("first"))
    identity.append("started")
    ranked = trials.sort_values(["images", "evaluations"], ascending=False, kind="stable")
    ranked["copy_of"] = ranked.groupby(identity, dropna=False)["result"].transform("first")
    lost = ranked[ranked.duplicated(identity)].sort_index()
    lines = [
        f"{results[one].store.location}: {count} trial{'s are copies' if count > 1 else ' is a copy'} of "
        f"{results[other].store.location} and count{'' if count > 1 else 's'} once"
        for (one, other), count in Counter(zip(lost["result"], lost["copy_of"], strict=True)).items()
    ]
    own = [_without(result, lost["trial"][lost["result"] == number]) for number, result in enumerate(results)]
    return [result for result in own if len(result.evaluations)], lines


def _counts(result: Results) -> pd.DataFrame:
    """Return the images seen and the evaluations of the trials that have any, and what identifies them."""
    rows = result.evaluations.groupby("trial", sort=True)["images_seen"].agg(["max", "size"])
    trials = [result.trials[index] for index in rows.index]
    started = result.manifest.get("started")
    return pd.DataFrame(
        {
            "trial_id": [trial.trial_id for trial in trials],
            "folder": [trial.folder for trial in trials],
            "started": pd.Series([started] * len(rows), dtype=object).to_numpy(),
            "images": rows["max"].astype("float64").fillna(0).to_numpy(),
            "evaluations": rows["size"].to_numpy(),
        },
        index=rows.index.rename("trial"),
    )


def _without(result: Results, lost: Iterable[int]) -> Results:
    """Return a result without some of its trials."""
    kept = np.ones(len(result.trials), dtype=bool)
    kept[list(lost)] = False
    trial = result.evaluations["trial"].to_numpy(dtype=int)
    evaluations = result.evaluations.assign(trial=(np.cumsum(kept) - 1)[trial])[kept[trial]]
    return replace(
        result,
        trials=list(compress(result.trials, kept)),
        statuses=list(compress(result.statuses, kept)),
        evaluations=evaluations.reset_index(drop=True),
    )


def _distinct(results: Sequence[Results]) -> list[tuple[str, Results]]:
    """Results with their names; equal names of different sweeps get their parent folder's name in front."""
    origins: dict[str, set[str]] = {}
    for result in results:
        # Equal for copies of one sweep: its trials are named at random.
        origin = str(result.manifest.get("started") or min(trial.trial_id for trial in result.trials))
        origins.setdefault(result.store.name, set()).add(origin)
    named = []
    for result in results:
        name = result.store.name
        if len(origins[name]) > 1:
            name = "/".join(result.store.location.rstrip("/").split("/")[-2:])
        named.append((name, result))
    return named


def _tidy(results: Sequence[tuple[str, Results]]) -> pd.DataFrame:
    frames: list[pd.DataFrame] = []
    for name, result in results:
        rows = result.evaluations
        trial = rows["trial"].to_numpy(dtype=int)
        about: dict[str, Sequence[Any]] = {
            "experiment": [name] * len(result.trials),
            "factor": [result.manifest.get("factor")] * len(result.trials),
            "preset": [result.manifest.get("preset")] * len(result.trials),
            "trial_id": [entry.trial_id for entry in result.trials],
            "status": result.statuses,
            "folder": [join_url(result.store.location, entry.folder) for entry in result.trials],
        }
        columns = {key: typed(key, values).take(trial).array for key, values in about.items()}
        frames.append(pd.DataFrame(columns | {str(key): rows[key].array for key in rows}))
    frame = with_defaults(joined(frames))
    described = ["experiment", "factor", "preset", "trial_id", "status", *experiment_keys(frame), *REPORTED]
    others = [name for name in frame.columns if name not in {*described, "trial", "cost_images", "folder"}]
    frame = frame[[*described, *others, "cost_images", "folder"]]
    if len(results) > 1:
        point = ["experiment", "trial_id", "images_seen"]
        frame = frame.sort_values(point, kind="stable", ignore_index=True)
        frame = frame.drop_duplicates(point, keep="last", ignore_index=True)
    return frame
