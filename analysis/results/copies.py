"""Copies of a sweep, such as a backup beside it: each trial counts once, from the copy that went furthest."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.results.experiment import Results


@dataclass(frozen=True)
class _Entry:
    """One trial as one of the copies has it."""

    result: int
    trial: int
    started: str | None
    """When its sweep started, where that is known."""
    images: float
    evaluations: int

    def is_copy_of(self, other: "_Entry") -> bool:
        """Of trials with the same random id and folder name; a lost `sweep.json` speaks for neither."""
        return self.started == other.started or self.started is None or other.started is None


def without_copies(results: Sequence[Results]) -> tuple[list[Results], list[str]]:
    """Keep one copy of each trial, whatever the names of the folders that its copies lie in.

    Args:
        results: of `read_experiment`, in the order in which they were given.

    Returns:
        The results with their own trials, where they have any: of several copies of a trial the one that saw most
        images, of equals the one with more evaluations or the first; and a line for each folder whose trials lie in
        another one too.
    """
    kept: dict[tuple[str, str], list[_Entry]] = {}
    dropped: list[tuple[_Entry, _Entry]] = []
    for number, result in enumerate(results):
        for identity, entry in _entries(number, result):
            others = kept.setdefault(identity, [])
            known = next((index for index, other in enumerate(others) if entry.is_copy_of(other)), None)
            if known is None:
                others.append(entry)
                continue
            better = (entry.images, entry.evaluations) > (others[known].images, others[known].evaluations)
            loser = others[known] if better else entry
            others[known] = entry if better else others[known]
            dropped.append((loser, others[known]))
    if not dropped:
        return list(results), []
    lost: dict[int, set[int]] = {}
    for loser, _ in dropped:
        lost.setdefault(loser.result, set()).add(loser.trial)
    counts = Counter((loser.result, winner.result) for loser, winner in dropped)
    lines = [
        f"{results[one].store.location}: {count} trial{'s are copies' if count > 1 else ' is a copy'} of "
        f"{results[other].store.location} and count{'' if count > 1 else 's'} once"
        for (one, other), count in counts.items()
    ]
    own = [_without(result, lost.get(number, set())) for number, result in enumerate(results)]
    return [result for result in own if len(result.evaluations)], lines


def _entries(number: int, result: Results) -> list[tuple[tuple[str, str], _Entry]]:
    """The trials of a result that have evaluations, by id and folder name."""
    rows = result.evaluations.groupby("trial", sort=True)["images_seen"].agg(["max", "size"])
    started = result.manifest.get("started")
    started = None if started is None else str(started)
    images = rows["max"].astype("float64").fillna(0)
    found = []
    for index, most, size in zip(rows.index, images, rows["size"], strict=True):
        trial = result.trials[int(index)]
        found.append(((trial.trial_id, trial.folder), _Entry(number, int(index), started, float(most), int(size))))
    return found


def _without(result: Results, lost: set[int]) -> Results:
    """A result without some of its trials."""
    if not lost:
        return result
    kept = [index for index in range(len(result.trials)) if index not in lost]
    position = np.full(len(result.trials), -1)
    position[kept] = np.arange(len(kept))
    trial = position[result.evaluations["trial"].to_numpy(dtype=int)]
    evaluations = result.evaluations.assign(trial=trial)[trial >= 0].reset_index(drop=True)
    return replace(
        result,
        trials=[result.trials[index] for index in kept],
        statuses=[result.statuses[index] for index in kept],
        evaluations=evaluations,
    )
