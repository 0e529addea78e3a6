"""How many trials of a run ended, and how, as its folder says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.runs.final import without_numbers
from memo_core.results import experiment_id
from sweeps.engine.plans.plan import Plan
from sweeps.engine.run.known import is_over
from sweeps.engine.search.journal import Ended, Event
from sweeps.engine.tune.trial.trial_folder import ERROR_FILE, TrialRecord

_MAX_CAUSES = 5


@dataclass(frozen=True)
class Failure:
    """A trial without results."""

    kind: str
    """`diverged` or `failed`."""
    cause: str
    folder: str
    """Of the trial."""


@dataclass(frozen=True)
class Tally:
    """Trials by their end."""

    begun: int
    finished: int
    failures: Sequence[Failure]

    @property
    def missing(self) -> int:
        """Trials that were begun, or of a grid planned, and have neither ended nor failed."""
        return self.begun - self.finished - len(self.failures)

    def failure_lines(self, run_path: str) -> list[str]:
        """Say how many trials failed: a line for each cause, five at most.

        Causes that differ in their numbers alone, such as the images seen, are one.
        """
        groups: dict[tuple[str, str], list[Failure]] = {}
        for failure in self.failures:
            groups.setdefault((failure.kind, without_numbers(failure.cause)), []).append(failure)
        found = sorted(groups.items(), key=lambda item: -len(item[1]))
        lines = []
        for (kind, _), failures in found:
            first = failures[0]
            example = ", the first" if len({failure.cause for failure in failures}) > 1 else ""
            log = "" if kind == "diverged" else f"; see {run_path}/{first.folder}/{ERROR_FILE}"
            lines.append(f"{len(failures)} of {self.begun} trials {kind}{example}: {first.cause}{log}")
        further = len(lines) - _MAX_CAUSES
        if further < 2:
            return lines
        return [*lines[:_MAX_CAUSES], f"and {further} further causes, see result.json in the trials' folders"]


def tally(plan: Plan, records: Mapping[str, TrialRecord], events: Sequence[Event]) -> Tally:
    """Count the trials of a run.

    Args:
        plan: of the run; all trials of a grid count as begun.
        records: the run's trials by identity.
        events: of its journal.
    """
    ended = {event.trial_id: event for event in events if isinstance(event, Ended)}
    wanted = dict.fromkeys(event.trial_id for event in events)
    if plan.search.kind == "grid":
        wanted = dict.fromkeys(experiment_id(trial.to_flat()) for trial in plan.trials)
    finished, failures = 0, []
    for trial_id in wanted:
        record, event = records.get(trial_id), ended.get(trial_id)
        if record is not None and is_over(record, event, plan):
            if record.failure is None:
                finished += 1
            else:
                failures.append(Failure(record.failure, str(record.result.get("cause")), record.folder))
        elif event is not None and event.status == "error":
            folder = record.folder if record is not None else ""
            failures.append(Failure("failed", event.cause or "", folder))
    return Tally(len(wanted), finished, failures)
