"""From a manifest to a `tune.Tuner`: trainable, scheduler, names, display."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ray import tune
from ray.tune.schedulers import TrialScheduler

from analysis.emm.stopping.rules import StoppingRules
from memo_core.experiment import FlatExperiment
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.cluster.data_sets import data_sets_of
from sweeps.engine.cluster.machines.capacity import ranks_of, share_of_rank
from sweeps.engine.plans.manifest import Limits, Manifest
from sweeps.engine.plans.names import METRIC, trial_title
from sweeps.engine.plans.plan import EMMSearchOptions, OptunaOptions, Plan
from sweeps.engine.plans.trainings import shared_trainings
from sweeps.engine.search.journal import Journal
from sweeps.engine.search.optuna import OptunaExperimentSearch
from sweeps.engine.tune.display.board import Board
from sweeps.engine.tune.display.progress import LiveProgress
from sweeps.engine.tune.heartbeat import Heartbeat
from sweeps.engine.tune.loggers import logger_callbacks
from sweeps.engine.tune.scheduling.asha import Reports
from sweeps.engine.tune.scheduling.failures import Failures
from sweeps.engine.tune.scheduling.interruption import Interruption
from sweeps.engine.tune.scheduling.memory import ASHAInTurn, InTurn
from sweeps.engine.tune.source import TrialSource
from sweeps.engine.tune.study import StudyView
from sweeps.engine.tune.trial.trainable import TrialOptions, train_trial


@dataclass(frozen=True)
class Start:
    """One start of a run: what is already there of it, and the limits of this time."""

    run_path: str
    scratch: str
    """Where Tune keeps its own state, which is thrown away."""
    folder: Callable[[FlatExperiment], str]
    """From a trial's experiment to the name of its folder; picklable, since Tune copies what names trials."""
    earlier: Reports
    """What trials reported before this start."""
    source: TrialSource
    journal: Journal
    display: LiveProgress
    board: Board
    limits: Limits
    still_held: Callable[[], None]
    """Raises where another driver has taken over the run."""


def tuner_of(manifest: Manifest, start: Start, interruption: Interruption) -> tune.Tuner:
    """Return the tuner of a run; it goes on where the run's folder says that it stopped."""
    plan = manifest.plan
    scheduler = scheduler_of(plan, start.earlier)
    # By itself Tune has one trial wait, and a cluster that grows would grow by one node at a time.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(ray_session.most_started(manifest.resources) or "auto")
    # Searchers know the metric already, but a scheduler does not.
    metric = {"metric": METRIC, "mode": plan.search.direction} if isinstance(plan.search, OptunaOptions) else {}
    # Each by itself, since Tune copies what names trials, and a start holds what cannot be copied.
    folder, varied = start.folder, plan.varied
    return tune.Tuner(
        _trainable(manifest, start),
        tune_config=tune.TuneConfig(
            **(metric if scheduler is not None else {}),
            # The source itself says when it is over.
            num_samples=-1,
            search_alg=start.source,
            scheduler=scheduler or InTurn(),
            reuse_actors=True,
            trial_name_creator=lambda trial: trial_title(trial.config, varied),
            trial_dirname_creator=lambda trial: folder(trial.config),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=start.scratch,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=start.limits.max_failures),
            callbacks=[
                start.display,
                Failures(start.run_path, folder),
                Heartbeat(start.journal, start.still_held),
                interruption,
                *_watchers(start),
            ],
        ),
    )


def _watchers(start: Start) -> list[tune.Callback]:
    """Return the callbacks that show the run elsewhere."""
    trackers = logger_callbacks(start.limits.logger, start.run_path)
    search = start.source.proposer
    if not isinstance(search, OptunaExperimentSearch):
        return trackers
    return [StudyView(search, start.run_path, start.scratch), *trackers]


def _trainable(manifest: Manifest, start: Start) -> Any:
    """Return the trainable with its resources, and with the early stops of an EMM search."""
    search, rules = manifest.plan.search, None
    if isinstance(search, EMMSearchOptions):
        rules = StoppingRules(search.target, search.early_success, search.sequential_sampling)
    trials = [*manifest.plan.trials, *manifest.plan.probes]
    data_sets = data_sets_of(trial.data for trial in trials) if ray_session.has_other_nodes() else None
    options = TrialOptions(
        start.run_path,
        start.limits.checkpoint_every,
        rules,
        start.board.reporters,
        data_sets,
        shared_trainings(manifest.plan, manifest.resources),
        start.folder,
    )
    return tune.with_resources(tune.with_parameters(train_trial, options=options), reserved(manifest.resources))


def reserved(resources: Mapping[Literal["cpu", "gpu"], float]) -> dict[str, float] | tune.PlacementGroupFactory:
    """Return what Tune reserves for a trial: of several GPUs a bundle for each, together if one node has them."""
    part = share_of_rank(resources)
    if part == resources:
        return dict(resources)
    bundle = {"CPU": part.get("cpu", 0.0), "GPU": part.get("gpu", 0.0)}
    return tune.PlacementGroupFactory([bundle] * ranks_of(resources), strategy="PACK")


def scheduler_of(plan: Plan, earlier: Reports | None = None) -> TrialScheduler | None:
    """Return ASHA where it was requested, else none; `earlier` are the reports of trials before this start."""
    if not (isinstance(plan.search, OptunaOptions) and plan.search.asha):
        return None
    budget = plan.trials[0].total_images
    # At a quarter and at half of its budget a trial below the median of those before it is stopped.
    return ASHAInTurn(
        earlier or {}, time_attr="images_seen", max_t=budget, grace_period=max(1, budget // 4), reduction_factor=2
    )
