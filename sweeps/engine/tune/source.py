"""Where Tune gets a run's trials from: what was interrupted, then what a searcher proposes and is not known yet."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ray.tune.search import Searcher

from memo_core.experiment import FlatExperiment
from memo_core.results import experiment_id
from sweeps.engine.plans.names import METRIC
from sweeps.engine.search.base import FINISHED, TrialSearcher
from sweeps.engine.search.journal import Begun, Journal, Replayed, ended


class Known(Protocol):
    """The trials that need no training."""

    def result(self, experiment: FlatExperiment) -> Mapping[str, Any] | None:
        """Return the last report of the trial of an experiment, where that is over; None where it must be trained."""

    def add(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Add a trial, by its identity, that is over now."""


class TrialSource(Searcher):  # type: ignore[misc] # ray ships no types
    """Gives Tune one trial after the other, and writes the run's journal.

    First come the trials that were begun and are not over: those that were interrupted, and those whose results got
    lost. Then what the searcher proposes, unless it is known.

    Args:
        searcher: proposes the experiments; it is where the journal ends.
        journal: of the run.
        replayed: what the journal says.
        known: what needs no training.
        slots: how many trials run at once, at present; none where that is not known.
        max_concurrent: at most so many at once; none for as many as the cluster holds.
        training: from an experiment to a name of its training: of trials with one name one runs at a time, since it
            trains for the others, which find their results when it has ended.
    """

    def __init__(
        self,
        searcher: TrialSearcher,
        journal: Journal,
        replayed: Replayed,
        known: Known,
        slots: Callable[[], int | None] = lambda: None,
        max_concurrent: int | None = None,
        training: Callable[[FlatExperiment], str] = experiment_id,
    ) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._searcher, self._journal, self._known = searcher, journal, known
        self._slots, self._max_concurrent = slots, max_concurrent
        self._begun = sum(isinstance(event, Begun) for event in journal.events)
        self._training = training
        self._live: dict[str, tuple[Begun, bool, str]] = {}
        """The beginning, whether the searcher waits for the result, and the training."""
        self._same: dict[str, list[Begun]] = {}
        """By identity, what the searcher proposed while the same trial ran: a folder takes one worker at a time."""
        self._waiting: list[tuple[Begun, FlatExperiment, bool]] = []
        """What was interrupted, and what another trial trains for: the beginning, the experiment, and whether the
        searcher waits for its result."""
        self.finished = False
        """The searcher proposes nothing more, and nothing runs."""
        for begun, experiment in replayed.live.values():
            result = known.result(experiment)
            if result is None:
                self._waiting.append((begun, experiment, True))
            else:
                self._end(begun, result, None)
        again = {begun.trial_id for begun, _, _ in self._waiting}
        for event, experiment in replayed.ended.values():
            if event.trial_id not in again and known.result(experiment) is None:
                # Its end stands without a key where it was tried again before.
                self._waiting.append((Begun(key=event.key or "", trial_id=event.trial_id), experiment, False))

    @property
    def proposer(self) -> TrialSearcher:
        """What proposes the experiments; Tune itself looks into an attribute named `searcher`."""
        return self._searcher

    def suggest(self, trial_id: str) -> FlatExperiment | str | None:
        """The next trial's experiment; None to wait for running ones; FINISHED at the end."""
        if self._max_concurrent is not None and len(self._live) >= self._max_concurrent:
            return None
        for one in list(self._waiting):
            begun, experiment, waits = one
            if self._is_trained(experiment):
                continue
            self._waiting.remove(one)
            if waits and self._is_answered(begun, experiment):
                continue
            self._live[trial_id] = begun, waits, self._training(experiment)
            return experiment
        while True:
            slots = self._slots()
            full = slots is not None and len(self._live) >= slots
            key = str(self._begun)
            suggestion = self._searcher.suggest(key, full)
            if not isinstance(suggestion, dict):
                # Tune takes FINISHED for good, and the end of a trial that runs may yet change it.
                self.finished = suggestion == FINISHED and not self._live
                return str(Searcher.FINISHED) if self.finished else None
            self._begun += 1
            begun = Begun(key=key, trial_id=experiment_id(suggestion), full=full)
            self._journal.append(begun)
            # First: a worker that trains for it writes its folder.
            if self._is_trained(suggestion):
                self._waiting.append((begun, suggestion, True))
                continue
            if self._is_answered(begun, suggestion):
                continue
            self._live[trial_id] = begun, True, self._training(suggestion)
            return suggestion

    def _is_trained(self, experiment: FlatExperiment) -> bool:
        """Return whether another trial that runs trains for this one."""
        training = self._training(experiment)
        return any(
            training == live and begun.trial_id != experiment_id(experiment) for begun, _, live in self._live.values()
        )

    def _is_answered(self, begun: Begun, experiment: FlatExperiment) -> bool:
        """Return whether the result of a trial is known, or will be that of the same trial, which runs already."""
        if any(begun.trial_id == live.trial_id for live, _, _ in self._live.values()):
            self._same.setdefault(begun.trial_id, []).append(begun)
            return True
        result = self._known.result(experiment)
        if result is not None:
            self._end(begun, result, None)
        return result is not None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass the end of a trial on."""
        begun, waits, _ = self._live.pop(trial_id)
        report = None if error else nested(result or {})
        for one, is_awaited in [(begun, waits), *((same, True) for same in self._same.pop(begun.trial_id, []))]:
            self._end(one, report, "its process failed too often" if error else None, is_awaited)

    def _end(self, begun: Begun, result: Mapping[str, Any] | None, cause: str | None, waits: bool = True) -> None:
        event = ended(begun if waits else begun.model_copy(update={"key": None}), result, cause)
        self._journal.append(event)
        if result is not None:
            self._known.add(begun.trial_id, result)
        if waits:
            self._searcher.complete(begun.key, event.result)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Learn nothing before a trial has ended."""

    def save(self, checkpoint_path: str) -> None:
        """Leave nothing to Tune: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: a run goes on from its journal."""


def nested(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report as the trial made it: Tune flattens the records in it, with a slash between the names."""
    whole: dict[str, Any] = {}
    for name, value in result.items():
        outer, slash, inner = name.partition("/")
        if slash:
            whole.setdefault(outer, {})[inner] = value
        else:
            whole[name] = value
    return whole
