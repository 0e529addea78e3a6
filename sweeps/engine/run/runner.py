"""Go on with a run from what its folder holds, which of a new one is nothing, and write what it leaves behind."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from ray.exceptions import RayError
from ray.tune import TuneError

from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import FlatExperiment
from memo_core.results import experiment_id, training_id
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import Limits, Manifest
from sweeps.engine.plans.names import METRIC, folder_name
from sweeps.engine.plans.plan import EMMSearchOptions
from sweeps.engine.plans.trainings import Trainings, shared_trainings, trained_along
from sweeps.engine.run.ending.conclude import conclude
from sweeps.engine.run.ending.going_on import GoingOn
from sweeps.engine.run.known import KnownTrials
from sweeps.engine.search.build import searcher_of
from sweeps.engine.search.journal import Journal, replay
from sweeps.engine.tune.display.board import Board
from sweeps.engine.tune.display.progress import LiveProgress
from sweeps.engine.tune.display.trials import EarlierTrial
from sweeps.engine.tune.loggers import check_loggers
from sweeps.engine.tune.scheduling.interruption import Interrupted, Interruption
from sweeps.engine.tune.source import TrialSource
from sweeps.engine.tune.tuner import Start, tuner_of


def go_on(
    factor: Factor,
    manifest: Manifest,
    run_path: str,
    limits: Limits,
    reuse: Sequence[str] = (),
    still_held: Callable[[], None] = lambda: None,
    going_on: GoingOn = GoingOn(),  # noqa: B008 (frozen)
) -> int:
    """Train what is missing of a run, all of it where it is new, and write its artifacts.

    The run's folder must be held (`folder.only_driver`), and Ray started.

    Args:
        factor: of the run.
        manifest: of the run.
        run_path: its folder or URL.
        limits: of this start.
        reuse: folders or URLs of runs whose equal trials are taken.
        still_held: raises where another driver has taken over.
        going_on: how the user goes on with the run where it is interrupted.

    Returns:
        The exit code: 0 done, 1 some trials failed, 130 interrupted and worth starting again.

    Raises:
        MemosweepError: the run's folder, or one to reuse, cannot be read; or a tracker of `--logger` cannot work.
    """
    check_loggers(limits.logger)
    plan = manifest.plan
    searcher = searcher_of(factor, plan)
    journal = Journal.read(run_path)
    replayed = replay(searcher, journal.events)
    journal = Journal(run_path, replayed.events)
    known = KnownTrials(run_path, manifest, {name: event for name, (event, _) in replayed.ended.items()}, reuse)
    slots = partial(ray_session.trials_at_once, manifest.resources)
    # Trials that wait are what makes a cluster grow; more than it can ever hold would wait in vain.
    most = [limits.max_concurrent, ray_session.most_started(manifest.resources)]
    broken: str | None = None
    try:
        # Anew, which leaves out what is damaged; and its time says that the run is at work again.
        journal.write()
        training = partial(_training_of, shared=shared_trainings(plan, manifest.resources))
        at_most = min(filter(None, most), default=None)
        source = TrialSource(searcher, journal, replayed, known, slots, at_most, training)
        broken = _fit(manifest, run_path, limits, source, journal, known, still_held)
        journal.write()
    except MemosweepError as error:
        broken = f"the sweep broke off: {first_line(error)}"
    return conclude(manifest, run_path, searcher, journal.events, known, going_on, broken)


def _training_of(experiment: FlatExperiment, shared: Trainings) -> str:
    """Return a name of the training that a trial's results come out of."""
    name = training_id(experiment)
    return name if name in shared else experiment_id(experiment)


def _fit(
    manifest: Manifest,
    run_path: str,
    limits: Limits,
    source: TrialSource,
    journal: Journal,
    known: KnownTrials,
    still_held: Callable[[], None],
) -> str | None:
    """Run Tune to the end; returns why it ended before, None where it did not."""
    board = Board()
    board.start()
    folder_of = partial(folder_name, varied=manifest.plan.varied, renamed=known.renamed)
    display = _display(manifest, run_path, known, board, folder_of)
    interruption = Interruption(limits.time_budget)
    try:
        with ray_session.scratch_folder() as scratch, interruption:
            earlier = {trial_id: record.rows for trial_id, record in known.records.items()}
            start = Start(run_path, scratch, folder_of, earlier, source, journal, display, board, limits, still_held)
            tuner_of(manifest, start, interruption).fit()
    except (Interrupted, SystemError, RayError, TuneError, RuntimeError, OSError) as error:
        if interruption.reason is not None:
            return interruption.reason
        # Lost workers, memory or disk: what was reported is on disk.
        return f"the sweep broke off: {_last_line(error)}"
    finally:
        display.close()
        # What signals have ended would not answer; a board ends with its driver.
        if interruption.reason is None:
            board.stop()
    return None


def _display(
    manifest: Manifest, run_path: str, known: KnownTrials, board: Board, folder_of: Callable[[FlatExperiment], str]
) -> LiveProgress:
    """Return the live display, which shows what the run's folder holds already."""
    plan = manifest.plan
    wanted = {experiment_id(trial.to_flat()) for trial in plan.trials} if plan.search.kind == "grid" else None
    earlier = [
        EarlierTrial(
            record.result["config"],
            int(record.result.get("images_seen", 0)),
            record.result.get(METRIC),
            known.end(record.trial_id),
            record.result.get("cause"),
        )
        for record in known.records.values()
        if record.rows and (wanted is None or record.trial_id in wanted)
    ]
    along = trained_along(plan.trials) if shared_trainings(plan, manifest.resources) else set()
    of_steps = (trial.total_images for trial in plan.trials if experiment_id(trial.to_flat()) not in along)
    images = sum(of_steps) if wanted is not None else None
    return LiveProgress(
        plan.factor.name,
        plan.varied,
        plan.total,
        plan.search.target if isinstance(plan.search, EMMSearchOptions) else None,
        run_path=run_path,
        folder=lambda config: folder_of(dict(config)),
        identity=lambda config: experiment_id(dict(config)),
        earlier=earlier,
        total_images=images,
        along=along,
        board=board,
    )


def _last_line(error: BaseException) -> str:
    """Return the last line of an error's message, which may be a traceback: without the name of the error in it."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return re.sub(r"^[A-Za-z_][\w.]*(?:Error|Exception): ", "", line)
