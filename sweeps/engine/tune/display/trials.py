"""The trials of a sweep as its display shows them: those of this session, and what was done before it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ray.tune.experiment import Trial

from memo_core.experiment import Experiment
from sweeps.engine.plans.names import METRIC, short_name
from sweeps.engine.tune.display.board import Position

End = Literal["done", "failed", "diverged"]
State = Literal["pending", "running", "restarting", End]

Identity = Callable[[Mapping[str, Any]], str]
"""From a flat experiment to the short text that identifies its trial in every session."""


@dataclass(frozen=True)
class EarlierTrial:
    """A trial as the run's folder had it before this session.

    Attributes:
        config: its flat experiment.
        images_seen: what it had trained on, and goes on from where it has not ended.
        best_ratio: its highest memorization ratio so far.
        end: how it ended; None where it goes on in this session.
        cause: in one line, why it failed or diverged.
    """

    config: Mapping[str, Any]
    images_seen: int = 0
    best_ratio: float | None = None
    end: End | None = "done"
    cause: str | None = None


@dataclass(frozen=True)
class TrialView:
    """A trial as it is drawn.

    Attributes:
        title: the settings that distinguish it.
        config: its flat experiment.
        state: `pending` before its start, `restarting` between a failure and the next try.
        budget: images that it trains on unless it is stopped early.
        images_seen: what it has trained on so far.
        images_before: what it had trained on before this session.
        images_per_second: between two evaluations; None where unknown.
        metrics: of its last evaluation in this session.
        best_ratio: its highest memorization ratio; None before its first evaluation.
    """

    title: str
    config: Mapping[str, Any]
    state: State
    budget: int
    images_seen: int = 0
    images_before: int = 0
    images_per_second: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    best_ratio: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train."""
        return self.state in ("done", "failed", "diverged")


class SweepTrials:
    """All trials of a sweep by identity. A trial of this session takes the place of the same one from before.

    Args:
        varied: the settings that distinguish the trials.
        identity: the identity of a trial's flat experiment.
        earlier: the trials that the run's folder had before this session.
        along: identities of trials that others train for.
    """

    def __init__(
        self,
        varied: Sequence[str],
        identity: Identity,
        earlier: Iterable[EarlierTrial] = (),
        along: Collection[str] = (),
    ) -> None:
        self._along = along
        self._varied, self._identity = list(varied), identity
        self._earlier = {identity(trial.config): trial for trial in earlier}
        self._ends: dict[str, End] = {key: trial.end for key, trial in self._earlier.items() if trial.end}
        self._restarting: set[str] = set()
        # By Tune's id, since identities and budgets take a validation each.
        self._keys: dict[str, str] = {}
        self._budgets: dict[str, int] = {}
        # What has ended does not change: a display of a thousand trials is drawn twice a second.
        self._final: dict[str, TrialView] = {}

    @property
    def ends(self) -> Counter[End]:
        """How many trials ended in which way, before this session and in it."""
        return Counter(self._ends.values())

    def key(self, trial: Trial) -> str:
        """Return the identity of Tune's trial."""
        if trial.trial_id not in self._keys:
            self._keys[trial.trial_id] = self._identity(trial.config)
        return self._keys[trial.trial_id]

    def title(self, trial: Trial) -> str:
        """Return the settings that distinguish Tune's trial."""
        return self.title_of(trial.config)

    def title_of(self, config: Mapping[str, Any]) -> str:
        """Return the settings that distinguish the trial of a flat experiment; its identity where none does."""
        return short_name(config, self._varied) or self._identity(config)

    def end(self, trial: Trial, how: End) -> bool:
        """Take note of a trial's end; returns whether it is news: a trial may repeat what was done before."""
        key = self.key(trial)
        news = self._ends.get(key) != how
        self._ends[key] = how
        self._restarting.discard(key)
        self._final.pop(key, None)
        return news

    def start(self, trial: Trial) -> None:
        """Take note of a trial's start or restart."""
        key = self.key(trial)
        self._restarting.discard(key)
        if self._ends.get(key) != "done":
            self._ends.pop(key, None)  # it failed before, and is tried again
            self._final.pop(key, None)

    def fail(self, trial: Trial) -> None:
        """Take note of a failure after which the trial starts again."""
        self._restarting.add(self.key(trial))

    def views(self, trials: Sequence[Trial], positions: Mapping[str, Position]) -> list[TrialView]:
        """Return all trials, those from before this session first.

        Args:
            trials: Tune's list of this session.
            positions: by identity, how far running trials are.
        """
        session = {self.key(trial) for trial in trials}
        before = [
            self._final.get(key) or self._kept(key, self._view_of_earlier(key, one))
            for key, one in self._earlier.items()
            if key not in session
        ]
        return before + [
            self._final.get(key) or self._kept(key, self._view(key, trial, positions.get(key)))
            for trial in trials
            for key in [self.key(trial)]
        ]

    def _kept(self, key: str, view: TrialView) -> TrialView:
        if view.ended:
            self._final[key] = view
        return view

    def _view_of_earlier(self, key: str, trial: EarlierTrial) -> TrialView:
        budget = self._budget(key, trial.config)
        return TrialView(
            title=self.title_of(trial.config),
            config=trial.config,
            state=trial.end or "pending",
            budget=budget,
            images_seen=min(budget, trial.images_seen),
            images_before=min(budget, trial.images_seen),
            best_ratio=trial.best_ratio,
        )

    def _view(self, key: str, trial: Trial, position: Position | None) -> TrialView:
        budget, metrics = self._budget(key, trial.config), trial.last_result or {}
        earlier = self._earlier.get(key)
        before = 0 if earlier is None else min(budget, earlier.images_seen)
        # A trial goes on from its last checkpoint, which is never older than its last evaluation.
        seen = max(before, metrics.get("images_seen", 0), 0 if position is None else position.images_seen)
        state = self._state(key, trial)
        if state == "done" and seen == 0:
            seen = budget  # the closed-form optimum trains on nothing
        best = metrics.get(METRIC, None if earlier is None else earlier.best_ratio)
        speed = None if position is None else position.images_per_second
        return TrialView(
            self.title(trial), trial.config, state, budget, min(budget, seen), before, speed, metrics, best
        )

    def _state(self, key: str, trial: Trial) -> State:
        if key in self._ends:
            return self._ends[key]
        if trial.status == Trial.RUNNING:
            return "running"
        return "restarting" if key in self._restarting else "pending"

    def _budget(self, key: str, config: Mapping[str, Any]) -> int:
        if key not in self._budgets:
            # Another trial's steps are its steps.
            self._budgets[key] = 0 if key in self._along else Experiment.from_flat(dict(config)).total_images
        return self._budgets[key]
