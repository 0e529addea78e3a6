"""One experiment folder: what was parsed before, and what is new."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import SkippedResultsWarning, some_of
from analysis.results.cache import CACHE_FILE, Parsed, Trial, read_cache, write_cache
from analysis.results.columns import completed, image_budget, joined, typed_frame
from analysis.results.records import TIME, TrialRecords, parse_trial
from analysis.results.sidecars import MANIFEST_FILE, Status, parse_journal, parse_manifest, status_of
from analysis.results.store import JOURNAL_FILE, RESULT_FILE, Stamp, Store, read_file

OUTCOME_FILE = "table.csv"
"""What a sweep writes when it ends or is interrupted."""


@dataclass(frozen=True)
class Results:
    """One experiment, read."""

    store: Store
    manifest: Mapping[str, Any]
    """`sweep.json` without its trials; empty where there is none."""
    trials: list[Trial]
    statuses: list[Status]
    """One a trial."""
    evaluations: pd.DataFrame
    skipped: list[str]
    """What could not be read, in words."""


def is_experiment(store: Store) -> bool:
    """Whether a folder is one of Tune's experiments."""
    files = store.files()
    return MANIFEST_FILE in files or bool(store.result_files())


def read_experiment(store: Store, use_cache: bool = True) -> Results:
    """Read an experiment; what was parsed before and has not changed comes from its cache.

    Args:
        store: the folder.
        use_cache: read and write `.memosweep-cache.parquet` in the folder.
    """
    files = store.files()
    before = read_cache(store) if use_cache and CACHE_FILE in files else Parsed()
    parsed = _update(store, files, before)
    manifest, problems = parse_manifest(read_file(store, MANIFEST_FILE)) if MANIFEST_FILE in files else ({}, [])
    skipped = [f"{store.name}: {problem}" for problem in [*problems, *parsed.state_problems]]
    skipped += _problems(store, parsed)
    if use_cache and parsed is not before and len(parsed.evaluations):
        try:
            write_cache(store, parsed)
        except OSError as error:
            warnings.warn(
                f"{store.location}: no cache can be kept there ({error}), so it is read anew each time",
                SkippedResultsWarning,
                stacklevel=2,
            )
    quiet, rows = _quiet_seconds(files, parsed), parsed.evaluations
    trained = set(rows.loc[rows["images_seen"] >= image_budget(rows), "trial"]) if len(rows) else set()
    seen = dict(rows.groupby("trial")["images_seen"].max()) if len(rows) else {}
    statuses = [
        status_of(
            parsed.states.get(trial.trial_id),
            trial.finished or index in trained,
            seen.get(index, 0),
            quiet,
            trial.failure,
        )
        for index, trial in enumerate(parsed.trials)
    ]
    evaluations, without_size = _sized(parsed.evaluations)
    if without_size:
        trials = f"{without_size} trial{'s name' if without_size > 1 else ' names'}"
        skipped.append(f"{store.name}: {trials} no whole number as data.size and cannot be used")
    return Results(store, manifest, parsed.trials, statuses, evaluations, skipped)


def _quiet_seconds(files: Mapping[str, Stamp], parsed: Parsed) -> float:
    """Seconds since the sweep wrote anything; infinite where it wrote its outcome after its journal."""
    outcome, journal = files.get(OUTCOME_FILE), files.get(JOURNAL_FILE)
    # A plain copy gives all files new times, in any order: a minute apart still counts as after.
    if outcome is not None and journal is not None and outcome.modified > journal.modified - 60:
        return float("inf")
    # Only what the sweep itself writes counts: not our cache, not figures that a user keeps beside it.
    own = [stamp.modified for name, stamp in files.items() if name.endswith((".json", ".jsonl"))]
    written = [*own, *(trial.stamp[1] for trial in parsed.trials)]
    return time.time() - max(written, default=0.0)


def _update(store: Store, files: Mapping[str, Stamp], before: Parsed) -> Parsed:
    found = store.result_files()
    known = {trial.folder: index for index, trial in enumerate(before.trials)}
    fresh = {
        name for name, index in known.items() if name in found and found[name].as_list() == before.trials[index].stamp
    }
    journal = files[JOURNAL_FILE].as_list() if JOURNAL_FILE in files else None
    if len(fresh) == len(found) == len(known) and journal == before.journal:
        return before
    after = Parsed(journal=journal)
    after.states, after.state_problems = before.states, before.state_problems
    if journal != before.journal:
        after.states, after.state_problems = parse_journal(read_file(store, JOURNAL_FILE)) if journal else ({}, [])
    _merge(after, before, fresh, _parse(store, {name: found[name] for name in found if name not in fresh}))
    return after


def _parse(store: Store, wanted: Mapping[str, Stamp]) -> list[tuple[Trial, TrialRecords]]:
    parsed = []
    for name, content in store.read([f"{folder}/{RESULT_FILE}" for folder in wanted]):
        folder = name.rpartition("/")[0]
        if isinstance(content, OSError):
            stamp, records = [-1.0, -1.0], TrialRecords(folder, {}, [], False, [f"cannot be read ({content})"], [], "")
        else:
            stamp, records = wanted[folder].as_list(), parse_trial(folder, content)
        about = (records.trial_id, records.finished, records.problems, records.odd, records.failure)
        parsed.append((Trial(folder, stamp, *about), records))
    return parsed


def _merge(after: Parsed, before: Parsed, fresh: set[str], new: list[tuple[Trial, TrialRecords]]) -> None:
    """Put kept and new trials in one order, by trial id, and their evaluations in the same."""
    kept = [index for index, trial in enumerate(before.trials) if trial.folder in fresh]
    trials = [*(before.trials[index] for index in kept), *(trial for trial, _ in new)]
    position = np.full(len(before.trials) + 1, -1)
    position[kept] = np.arange(len(kept))
    old = before.evaluations.assign(trial=position[before.evaluations["trial"].to_numpy(dtype=int)])
    evaluations = joined([old[old["trial"] >= 0], *_evaluations([records for _, records in new], len(kept))])
    order = sorted(range(len(trials)), key=lambda index: (trials[index].trial_id, trials[index].folder))
    rank = np.empty(len(trials), dtype=np.int64)
    rank[order] = np.arange(len(trials))
    evaluations = evaluations.assign(trial=rank[evaluations["trial"].to_numpy(dtype=int)])
    after.trials = [trials[index] for index in order]
    after.evaluations = evaluations.sort_values("trial", kind="stable", ignore_index=True)


def _evaluations(new: list[TrialRecords], offset: int) -> list[pd.DataFrame]:
    """Return the frame of newly parsed trials, numbered from `offset`; none where they have no evaluation."""
    rows = [row for records in new for row in records.evaluations]
    if not rows:
        return []
    trial = np.repeat(np.arange(len(new)), [len(records.evaluations) for records in new])
    configs = typed_frame([records.config for records in new])
    reported = typed_frame(rows).rename(columns={TIME: "seconds"})
    columns = {
        "trial": trial + offset,
        **{key: configs[key].take(trial).array for key in configs},
        **{key: reported[key].array for key in reported},
    }
    return [completed(pd.DataFrame(columns))]


def _problems(store: Store, parsed: Parsed) -> list[str]:
    """What is missing of an experiment, a line a kind."""
    skipped = []
    counts = np.bincount(parsed.evaluations["trial"].to_numpy(dtype=int), minlength=len(parsed.trials))
    reported = {trial.trial_id for trial, count in zip(parsed.trials, counts, strict=True) if count or trial.problems}
    unreported = {*(trial.trial_id for trial in parsed.trials), *parsed.states} - reported
    if unreported:
        failed = sum(name in parsed.states and parsed.states[name].status == "error" for name in unreported)
        skipped.append(
            f"{store.name}: {len(unreported)} trial{'s have' if len(unreported) > 1 else ' has'} no evaluation yet"
            + (f", {failed} of them failed" if failed else "")
        )
    by_problem: dict[str, list[str]] = {}
    for trial in parsed.trials:
        for problem in trial.problems:
            by_problem.setdefault(problem, []).append(trial.folder)
    for problem, folders in by_problem.items():
        skipped.append(f"{store.name}: {problem} in {RESULT_FILE} of {some_of(folders)}")
    names = list(dict.fromkeys(name for trial in parsed.trials for name in trial.odd))
    if names:
        folders = [trial.folder for trial in parsed.trials if trial.odd]
        what = f"values of the wrong type or out of range are missing ({some_of(names)})"
        skipped.append(f"{store.name}: {what} in {RESULT_FILE} of {some_of(folders)}")
    return skipped


def _sized(evaluations: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Evaluations with |D| as whole numbers, and how many trials name none, whose evaluations are left out."""
    if "data.size" not in evaluations.columns:
        return evaluations.iloc[:0].assign(**{"data.size": pd.Series(dtype="Int64")}), evaluations["trial"].nunique()
    sizes = pd.to_numeric(evaluations["data.size"], errors="coerce").astype("Float64")
    known = ((sizes >= 1) & (sizes % 1 == 0)).fillna(False).astype(bool)
    whole = evaluations.assign(**{"data.size": sizes.where(known).astype("Int64")})
    if known.all():
        return whole, 0
    return whole[known].reset_index(drop=True), evaluations.loc[~known, "trial"].nunique()
