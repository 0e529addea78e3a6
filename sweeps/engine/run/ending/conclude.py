"""How a start of a run ends: the artifacts, what failed, what is missing and how to go on, the exit code."""

import errno
from collections.abc import Sequence

from memo_core.errors import MemosweepError, first_line
from memo_core.terminal import INTERRUPTED
from sweeps.engine.plans.manifest import Manifest, name_of
from sweeps.engine.run import folder
from sweeps.engine.run.ending.artifacts import write_artifacts
from sweeps.engine.run.ending.going_on import GoingOn
from sweeps.engine.run.ending.tally import tally
from sweeps.engine.run.known import KnownTrials
from sweeps.engine.search.base import TrialSearcher
from sweeps.engine.search.emm import EMMSearcher
from sweeps.engine.search.journal import Event
from sweeps.engine.tune.trial.trial_folder import read_records


def conclude(
    manifest: Manifest,
    run_path: str,
    searcher: TrialSearcher,
    events: Sequence[Event],
    known: KnownTrials,
    going_on: GoingOn,
    broken: str | None = None,
) -> int:
    """Write the artifacts, say what failed and what is missing; return the exit code.

    Args:
        manifest: of the run.
        run_path: its folder or URL.
        searcher: as far as the run is.
        events: of its journal.
        known: its trials that are over.
        going_on: how the user goes on.
        broken: why the run ended before its end; None where it did not.
    """
    plan, again = manifest.plan, going_on.command(name_of(run_path))
    records = read_records(run_path)
    counted = tally(plan, records, events)
    # An Optuna search has more to propose, unless it says why not.
    more = (plan.total or 0) - counted.begun if searcher.ended is None else 0
    missing = counted.missing + max(0, more)
    search = searcher.search if isinstance(searcher, EMMSearcher) else None
    try:
        write_artifacts(run_path, manifest, search, is_whole=broken is None and not missing)
    except (MemosweepError, OSError) as error:
        # A run that broke off ends with that reason and no other.
        if broken is None and not (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
            raise
        broken = broken or f"the tables cannot be written ({first_line(error)})"
    for line in [*folder.notes(run_path, records), *counted.failure_lines(run_path)]:
        print(line, flush=True)
    if known.reused:
        count, runs = len(known.reused), list(dict.fromkeys(known.reused.values()))
        what = "1 trial was" if count == 1 else f"{count} trials were"
        where = "another run" if len(runs) == 1 else "other runs"
        print(f"{what} taken from {where}: {', '.join(runs)}", flush=True)
    if searcher.ended is not None and not missing:
        print(f"ended after {counted.begun} of {plan.total} trials: {searcher.ended}", flush=True)
    if broken is not None or missing:
        left = f" with {missing} of {plan.total} trials unfinished" if plan.total is not None else ""
        print(f"{broken or 'interrupted'}{left}; finish it with {again}", flush=True)
        return INTERRUPTED
    if any(failure.kind == "failed" for failure in counted.failures):
        print(f"{again} tries the failed trials again, from their checkpoints", flush=True)
    return 1 if counted.failures else 0
