"""`Runs`: the trials of some sweeps, read once. Every table, figure, verdict and sentence is computed from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.results.load import read
from analysis.results.schema import OPTIMUM
from analysis.runs.factors import declare
from analysis.runs.final import (
    NO_FINAL_RATIO,
    best_rows,
    failed,
    is_counted,
    is_finished,
    left_out,
    still_learning,
    stopped_early,
)
from analysis.runs.groups import Group, group_trials, studied_keys
from analysis.runs.seeds import SeedSpread, seed_spread
from analysis.runs.settings import setting_keys, varied_keys
from memo_core.errors import MemosweepError


@dataclass(frozen=True, eq=False)
class Runs:
    """The trials of some sweeps.

    A part of them (`where`, `counted`, `finished`, `networks`, the `runs` of a group) keeps what is known of the whole:
    which trials are finished, and how far training seeds scatter. A trial has the same interval wherever it is shown.

    Attributes:
        evaluations: a row per evaluation of each trial, as `analysis.load` returns it; each row has its own label.
        sweeps: by experiment, its `sweep.json` without the list of trials.
        skipped: in words, what could not be read.
        whole: the runs that these are part of; None where they are the whole.
    """

    evaluations: pd.DataFrame
    sweeps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    whole: "Runs | None" = field(default=None, repr=False)

    @classmethod
    def read(cls, paths: str | Path | Iterable[str | Path], cache: bool = True) -> "Runs":
        """Read result folders; see `analysis.load` for the arguments and errors."""
        frame, sweeps, skipped = read(paths, cache)
        declare(sweeps.values())
        return cls(frame, sweeps, tuple(skipped))

    @classmethod
    def of(cls, frame: pd.DataFrame, sweeps: Mapping[str, Mapping[str, Any]] | None = None) -> "Runs":
        """Return the runs of a table of evaluations, such as `analysis.load` returns."""
        return cls(frame.reset_index(drop=True), sweeps or {})

    def where(self, keep: "pd.Series[bool]") -> "Runs":
        """Return a part of the runs.

        Args:
            keep: by row of `evaluations`. All evaluations of a trial are kept, or none; or those that lack a metric
                are left out, which changes no trial's best one.
        """
        return self.part(self.evaluations[keep])

    def part(self, rows: pd.DataFrame) -> "Runs":
        """Return the runs of some rows of `evaluations`, with their labels; see `where`."""
        return Runs(rows, self.sweeps, self.skipped, self._root)

    @cached_property
    def counted(self) -> "Runs":
        """The trials with a final ratio or a lower bound of it; where no trial has one, those still training."""
        return self.where(self._root._is_counted.loc[self.evaluations.index])

    def checked(self) -> "Runs":
        """Return the runs that count.

        Raises:
            MemosweepError: there is none, or none with a memorization ratio.
        """
        if len(self.best):
            return self.counted
        if self.evaluations["memorization_ratio"].notna().any():
            raise MemosweepError(NO_FINAL_RATIO)
        raise MemosweepError("no trial has reported a memorization ratio yet")

    @cached_property
    def finished(self) -> "Runs":
        """The trials with a final ratio or a lower bound of it; see `analysis.runs.final.is_finished`."""
        return self.where(self.is_finished)

    @cached_property
    def evidence(self) -> "Runs":
        """The finished trials but those that had not begun to memorize; see `analysis.runs.final.still_learning`."""
        return self.finished.where(~self._root._still_learning.loc[self.finished.evaluations.index])

    @cached_property
    def networks(self) -> "Runs":
        """The trials of trained networks; all where there is none.

        The closed-form optimum replicates whatever it is given. Pooled with networks it would pass for runs on which no
        setting has an effect.
        """
        if "model.architecture" not in self.evaluations:
            return self
        trained = self.evaluations["model.architecture"] != OPTIMUM
        return self.where(trained) if trained.any() else self

    @cached_property
    def best(self) -> pd.DataFrame:
        """A row per counted trial: its evaluation with the highest memorization ratio."""
        return self.best_by("memorization_ratio")

    def best_by(self, metric: str) -> pd.DataFrame:
        """Return a row per counted trial, its best evaluation by a metric; see `analysis.best`."""
        root, rows = self._root, self.counted.evaluations
        if metric not in rows:
            return rows.iloc[:0]
        if metric not in root._best_labels:
            root._best_labels[metric] = best_rows(root.evaluations, metric).index
        rows = rows[rows.index.isin(root._best_labels[metric])]
        if "stopped_early" in rows:
            # It stands on a trial's last evaluation, which need not be its best.
            rows = rows.assign(stopped_early=root._stopped_early.loc[rows.index])
        return rows.reset_index(drop=True)

    @cached_property
    def seed_spread(self) -> SeedSpread:
        """How far training seeds move the ratio of the networks: one number, also for a part of the runs."""
        return seed_spread(self.networks.best) if self.whole is None else self.whole.seed_spread

    @cached_property
    def varied(self) -> list[str]:
        """The experiment's keys that differ among the trials, seeds among them."""
        return varied_keys(self.evaluations)

    @cached_property
    def varied_settings(self) -> list[str]:
        """Of `varied`, those that may change a ratio: neither seeds nor how often a trial is evaluated."""
        settings = setting_keys(self.evaluations)
        return [key for key in self.varied if key in settings]

    @cached_property
    def factors(self) -> list[str]:
        """The settings with a group of two values: what these runs can say something about, |D| and seeds aside."""
        return studied_keys(self.counted.evaluations)

    @cached_property
    def is_finished(self) -> "pd.Series[bool]":
        """By row of `evaluations`, whether its trial is finished; see `analysis.runs.final.is_finished`."""
        return (
            is_finished(self.evaluations) if self.whole is None else self.whole.is_finished.loc[self.evaluations.index]
        )

    @cached_property
    def num_trials(self) -> int:
        """Trials that reported at least once."""
        return len(self.evaluations[["experiment", "trial_id"]].drop_duplicates())

    def groups(self, key: str, within: Sequence[str] = ("data.size",), min_values: int = 2) -> list[Group]:
        """Return the groups of trials in which only a setting and `within` differ; see `group_trials`."""
        return group_trials(self, key, within, min_values)

    def excluded(self) -> list[str]:
        """Return what is left out or has a lower bound only, a line a kind; see `analysis.runs.final.left_out`."""
        return left_out(self.evaluations)

    def failed(self) -> list[str]:
        """Return which trials diverged and which failed, a line a kind."""
        return failed(self.evaluations)

    @property
    def _root(self) -> "Runs":
        return self.whole or self

    @cached_property
    def _is_counted(self) -> "pd.Series[bool]":
        return is_counted(self.evaluations)

    @cached_property
    def _still_learning(self) -> "pd.Series[bool]":
        return still_learning(self.evaluations)

    @cached_property
    def _stopped_early(self) -> "pd.Series[bool]":
        return stopped_early(self.evaluations)

    @cached_property
    def _best_labels(self) -> dict[str, "pd.Index[Any]"]:
        return {}
