"""Runs in which nothing is left to train: found out from their folders and those to reuse, without Ray."""

from collections.abc import Sequence

from memo_core.results import experiment_id
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import Manifest
from sweeps.engine.plans.plan import Plan
from sweeps.engine.run import folder
from sweeps.engine.run.continuation import continued
from sweeps.engine.run.ending.conclude import conclude
from sweeps.engine.run.ending.going_on import GoingOn
from sweeps.engine.run.known import KnownTrials
from sweeps.engine.search.base import FINISHED, TrialSearcher
from sweeps.engine.search.build import searcher_of
from sweeps.engine.search.journal import Begun, Event, Journal, Replayed, ended, replay


def is_covered(factor: Factor, manifest: Manifest, run_path: str, reuse: Sequence[str]) -> bool:
    """Return whether all that a new run would train is found in the runs to reuse; copies nothing.

    Args:
        factor: of the run.
        manifest: of the run.
        run_path: where it would lie.
        reuse: folders or URLs of runs.

    Raises:
        MemosweepError: a run to reuse cannot be read.
    """
    if not reuse:
        return False
    searcher = searcher_of(factor, manifest.plan)
    known = KnownTrials(run_path, manifest, {}, reuse, copies_later=True)
    return settled(searcher, replay(searcher, []), known) is not None


def conclude_settled(
    factor: Factor, manifest: Manifest, plan: Plan, run_path: str, going_on: GoingOn, reuse: Sequence[str] = ()
) -> int | None:
    """End a start of a run at once where nothing is left to train: only its artifacts are written again.

    Args:
        factor: of the run.
        manifest: of the run.
        plan: the run's own, or an extended one.
        run_path: folder or URL of the run.
        going_on: how the user goes on.
        reuse: folders or URLs of runs whose equal trials are taken.

    Returns:
        The exit code; None where trials are left, and nothing was done.

    Raises:
        MemosweepError: the run's folder cannot be read, or another process is at it.
    """
    is_extended = (plan.trials, plan.search) != (manifest.plan.trials, manifest.plan.search)
    extended = manifest.model_copy(update={"plan": plan}) if is_extended else manifest
    with folder.only_driver(run_path):
        journal, searcher = Journal.read(run_path), searcher_of(factor, extended.plan)
        replayed = replay(searcher, journal.events)
        ended_before = {name: event for name, (event, _) in replayed.ended.items()}
        # Where the rest is to be trained, nothing must be copied yet.
        known = KnownTrials(run_path, extended, ended_before, reuse, copies_later=True)
        events = settled(searcher, replayed, known)
        if events is None or (is_extended and continued(known.records, plan)):
            return None  # what goes on from a shorter budget does so in that trial's folder
        print(f"nothing is left to train in {run_path}", flush=True)
        if is_extended:
            extended = extended.started_again([])
            extended.write(run_path)
        known.copy_reused()
        if events != journal.events:
            Journal(run_path, events).write()
        return conclude(extended, run_path, searcher, events, known, going_on)


def settled(searcher: TrialSearcher, replayed: Replayed, known: KnownTrials) -> list[Event] | None:
    """Let a searcher go on for as long as the results of what it proposes are known.

    Args:
        searcher: as far as `replayed` says; it goes on.
        replayed: of the run's journal.
        known: the trials that are over.

    Returns:
        The events of the journal with what came to them; None where something is left to train.
    """
    events: list[Event] = list(replayed.events)

    def is_over(begun: Begun, experiment: dict[str, object]) -> bool:
        result = known.result(experiment)
        if result is not None:
            event = ended(begun, result)
            events.append(event)
            searcher.complete(begun.key, event.result)
        return result is not None

    if any(known.result(experiment) is None for _, experiment in replayed.ended.values()):
        return None  # it failed, and is tried again
    if not all(is_over(begun, experiment) for begun, experiment in replayed.live.values()):
        return None
    count = sum(isinstance(event, Begun) for event in events)
    while isinstance(suggestion := searcher.suggest(str(count)), dict):
        begun = Begun(key=str(count), trial_id=experiment_id(suggestion))
        events.append(begun)
        if not is_over(begun, suggestion):
            return None
        count += 1
    return events if suggestion == FINISHED else None
