"""One experiment folder: what was parsed before, and what is new."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import SkippedResultsWarning
from analysis.results.cache import CACHE_FILE, Parsed, Trial, read_cache, write_cache
from analysis.results.columns import completed, joined, typed_frame
from analysis.results.manifest import MANIFEST_FILE, parse_manifest
from analysis.results.records import TIME, parse_trial
from analysis.results.state import TuneState, parse_state, reached_budget, status_of
from analysis.results.store import RESULT_FILE, STATE_PREFIX, Stamp, Store

OUTCOME_FILE = "table.csv"
"""What a sweep writes when it ends or is interrupted."""
_NAMED = 3
"""So many trials or values are named in a message; the others are counted."""


@dataclass(frozen=True)
class Results:
    """One experiment, read."""

    store: Store
    manifest: Mapping[str, Any]
    """`sweep.json` without its trials; empty where there is none."""
    trials: list[Trial]
    statuses: list[str]
    """One a trial."""
    evaluations: pd.DataFrame
    skipped: list[str]
    """What could not be read, in words."""


def is_experiment(store: Store) -> bool:
    """Whether a folder is one of Tune's experiments."""
    files = store.files()
    if MANIFEST_FILE in files or any(name.startswith(STATE_PREFIX) for name in files):
        return True
    return bool(store.result_files())


def read_experiment(store: Store, use_cache: bool = True) -> Results:
    """Read an experiment; what was parsed before and has not changed comes from its cache.

    Args:
        store: the folder.
        use_cache: read and write `.memosweep-cache.parquet` in the folder.
    """
    files = store.files()
    before = read_cache(store) if use_cache and CACHE_FILE in files else Parsed()
    parsed = _update(store, files, before)
    manifest, manifest_problems = _manifest(store, files)
    skipped = [f"{store.name}: {problem}" for problem in [*manifest_problems, *parsed.state_problems]]
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
    quiet = _quiet_seconds(files, parsed)
    statuses = [
        status_of(parsed.states.get(trial.trial_id), trial.finished, quiet, trial.failure) for trial in parsed.trials
    ]
    evaluations, without_size = _sized(parsed.evaluations)
    if without_size:
        trials = f"{without_size} trial{'s name' if without_size > 1 else ' names'}"
        skipped.append(f"{store.name}: {trials} no whole number as data.size and cannot be used")
    return Results(store, manifest, parsed.trials, list(statuses), evaluations, skipped)


def _quiet_seconds(files: Mapping[str, Stamp], parsed: Parsed) -> float:
    """Seconds since the sweep wrote anything; infinite where it wrote its outcome after its last state."""
    outcome, state = files.get(OUTCOME_FILE), parsed.state_file
    # A plain copy gives all files new times, in any order: a minute apart still counts as after.
    if outcome is not None and state is not None and outcome.modified > state[2] - 60:
        return float("inf")
    # Only what the sweep itself writes counts: not our cache, not figures that a user keeps beside it.
    own = [stamp.modified for name, stamp in files.items() if name.endswith(".json")]
    written = [*own, *(trial.stamp[1] for trial in parsed.trials)]
    return time.time() - max(written, default=0.0)


def _update(store: Store, files: Mapping[str, Stamp], before: Parsed) -> Parsed:
    found = store.result_files()
    known = {trial.folder: index for index, trial in enumerate(before.trials)}
    fresh = {
        name for name, index in known.items() if name in found and found[name].as_list() == before.trials[index].stamp
    }
    state_name = max((name for name in files if name.startswith(STATE_PREFIX)), default=None)
    state_file = [state_name, *files[state_name].as_list()] if state_name else None
    if len(fresh) == len(found) == len(known) and state_file == before.state_file:
        return before
    after = Parsed(state_file=state_file)
    after.states, after.state_problems = before.states, before.state_problems
    if state_file != before.state_file:
        after.states, after.state_problems = _states(store, state_name)
    _merge(after, before, fresh, _parse(store, {name: found[name] for name in found if name not in fresh}))
    return after


def _states(store: Store, name: str | None) -> tuple[dict[str, TuneState], list[str]]:
    for _, content in store.read([name] if name else []):
        return parse_state(content)
    return {}, []


@dataclass(frozen=True)
class _New:
    """A trial that was just parsed."""

    trial: Trial
    config: Mapping[str, Any]
    rows: list[dict[str, Any]]


def _parse(store: Store, wanted: Mapping[str, Stamp]) -> list[_New]:
    parsed = []
    for name, content in store.read([f"{folder}/{RESULT_FILE}" for folder in wanted]):
        folder = name.rpartition("/")[0]
        if isinstance(content, OSError):
            unread = Trial(folder, [-1, -1], folder, False, [f"cannot be read ({content})"], [], "")
            parsed.append(_New(unread, {}, []))
            continue
        records = parse_trial(folder, content)
        rows = records.evaluations
        finished = records.finished or (not records.failure and bool(rows) and reached_budget(records.config, rows[-1]))
        about = (records.trial_id, finished, records.problems, records.odd, records.failure)
        trial = Trial(folder, wanted[folder].as_list(), *about)
        parsed.append(_New(trial, records.config, rows))
    return parsed


def _merge(after: Parsed, before: Parsed, fresh: set[str], new: list[_New]) -> None:
    """Kept and new trials in one order, by trial id, and their evaluations in the same."""
    kept = [index for index, trial in enumerate(before.trials) if trial.folder in fresh]
    trials = [*(before.trials[index] for index in kept), *(entry.trial for entry in new)]
    position = np.full(len(before.trials) + 1, -1)
    position[kept] = np.arange(len(kept))
    old = before.evaluations.assign(trial=position[before.evaluations["trial"].to_numpy(dtype=int)])
    evaluations = joined([old[old["trial"] >= 0], *_evaluations(new, len(kept))])
    order = sorted(range(len(trials)), key=lambda index: (trials[index].trial_id, trials[index].folder))
    rank = np.empty(len(trials), dtype=np.int64)
    rank[order] = np.arange(len(trials))
    evaluations = evaluations.assign(trial=rank[evaluations["trial"].to_numpy(dtype=int)])
    after.trials = [trials[index] for index in order]
    after.evaluations = evaluations.sort_values("trial", kind="stable", ignore_index=True)


def _evaluations(new: list[_New], offset: int) -> list[pd.DataFrame]:
    """The frame of newly parsed trials, numbered from `offset`; none where they have no evaluation."""
    rows = [row for entry in new for row in entry.rows]
    if not rows:
        return []
    counts = [len(entry.rows) for entry in new]
    trial = np.repeat(np.arange(len(new)), counts)
    configs = typed_frame([entry.config for entry in new])
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
    silent = [
        trial.trial_id for trial, count in zip(parsed.trials, counts, strict=True) if not count and not trial.problems
    ]
    known = {trial.trial_id for trial in parsed.trials}
    silent += [name for name in parsed.states if name not in known]
    if silent:
        failed = sum(1 for name in silent if name in parsed.states and parsed.states[name].status == "ERROR")
        skipped.append(
            f"{store.name}: {len(silent)} trial{'s have' if len(silent) > 1 else ' has'} no evaluation yet"
            + (f", {failed} of them failed" if failed else "")
        )
    by_problem: dict[str, list[str]] = {}
    for trial in parsed.trials:
        for problem in trial.problems:
            by_problem.setdefault(problem, []).append(trial.folder)
    for problem, folders in by_problem.items():
        skipped.append(f"{store.name}: {problem} in {RESULT_FILE} of {_named(folders)}")
    names = list(dict.fromkeys(name for trial in parsed.trials for name in trial.odd))
    if names:
        folders = [trial.folder for trial in parsed.trials if trial.odd]
        skipped.append(
            f"{store.name}: values of the wrong type or out of range are missing ({_named(names)}) in {RESULT_FILE} of "
            f"{_named(folders)}"
        )
    return skipped


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _manifest(store: Store, files: Mapping[str, Stamp]) -> tuple[dict[str, Any], list[str]]:
    for _, content in store.read([MANIFEST_FILE] if MANIFEST_FILE in files else []):
        return parse_manifest(content)
    return {}, []


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
