"""From a manifest to a `tune.Tuner`: trainable, searcher, scheduler, names, display."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from analysis.emm.search.search import CurvePrior, Search
from analysis.emm.stopping.rules import StoppingRules
from sweeps.engine.cluster.session import trials_at_once
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import Manifest
from sweeps.engine.plans.names import METRIC, short_name, trial_directory, trial_title
from sweeps.engine.plans.optuna import complete_experiment
from sweeps.engine.plans.plan import SEED_SPREAD, EMMSearchOptions, OptunaOptions, Plan
from sweeps.engine.tune.emm_searcher import EMMSearcher
from sweeps.engine.tune.grid_searcher import ListedTrials
from sweeps.engine.tune.optuna_searcher import OptunaExperimentSearch
from sweeps.engine.tune.progress import LiveProgress
from sweeps.engine.tune.snapshot import StateCopy
from sweeps.engine.tune.trainable import train_trial

CHECKPOINTS_KEPT = 2


def new_tuner(factor: Factor, manifest: Manifest, storage: str, name: str) -> tune.Tuner:
    """Return the tuner of a run that has not begun."""
    plan = manifest.plan
    scheduler = scheduler_of(plan)
    # Searchers know the metric already, but a scheduler does not.
    metric = {"metric": METRIC, "mode": plan.search.direction} if isinstance(plan.search, OptunaOptions) else {}
    target = plan.search.target if isinstance(plan.search, EMMSearchOptions) else None
    return tune.Tuner(
        trainable_of(manifest),
        tune_config=tune.TuneConfig(
            **(metric if scheduler is not None else {}),
            # A search itself says when it is over.
            num_samples=len(plan.trials) if plan.search.kind == "grid" else -1,
            search_alg=searcher_of(factor, plan, partial(trials_at_once, manifest.resources)),
            scheduler=scheduler,
            reuse_actors=True,
            trial_name_creator=partial(trial_title, varied=plan.varied),
            trial_dirname_creator=partial(trial_directory, varied=plan.varied),
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=storage,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=manifest.max_failures),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
            callbacks=[
                LiveProgress(
                    plan.factor.name,
                    plan.varied,
                    plan.total,
                    target,
                    run_path=f"{storage}/{name}",
                    folder=partial(short_name, varied=plan.varied),
                    identity=partial(json.dumps, sort_keys=True),
                ),
                StateCopy(),
            ],
        ),
    )


def restored_tuner(run_path: str, manifest: Manifest) -> tune.Tuner:
    """Return the tuner of a run as Tune last saved it; unfinished and failed trials are tried again."""
    return tune.Tuner.restore(run_path, trainable=trainable_of(manifest), resume_unfinished=True, restart_errored=True)


def trainable_of(manifest: Manifest) -> Any:
    """Return the trainable with its resources, and with the early stops of an EMM search."""
    trainable: Any = train_trial
    search = manifest.plan.search
    if isinstance(search, EMMSearchOptions):
        rules = StoppingRules(search.target, search.early_success, search.sequential_sampling)
        trainable = tune.with_parameters(train_trial, rules=rules)
    return tune.with_resources(trainable, manifest.resources)


def searcher_of(
    factor: Factor, plan: Plan, slots: Callable[[], int | None] = lambda: None
) -> ListedTrials | EMMSearcher | OptunaExperimentSearch:
    """Return a fresh searcher of a plan; `slots` as for `EMMSearcher`."""
    search, first = plan.search, plan.trials[0]
    if isinstance(search, EMMSearchOptions):
        variants = dict(zip(plan.labels, (trial.to_flat() for trial in plan.trials), strict=True))
        return EMMSearcher(_emm_search(search, plan), variants, slots)
    if isinstance(search, OptunaOptions):
        complete = partial(complete_experiment, factor, first, search.space)
        return OptunaExperimentSearch(search.space, complete, search.direction, search.num_trials, seed=first.seed)
    return ListedTrials(plan.trials)


def _emm_search(options: EMMSearchOptions, plan: Plan) -> Search:
    assert options.min_size is not None
    assert options.max_size is not None
    return Search(
        plan.labels,
        options.min_size,
        options.max_size,
        options.target,
        tolerance=options.tolerance,
        num_samples=plan.trials[0].evaluation.num_samples,
        seed=plan.trials[0].seed,
        prior=CurvePrior(seed_spread=SEED_SPREAD[plan.preset]),
    )


def scheduler_of(plan: Plan) -> TrialScheduler | None:
    """Return ASHA where it was requested, else none."""
    if not (isinstance(plan.search, OptunaOptions) and plan.search.asha):
        return None
    budget = plan.trials[0].total_images
    # At a quarter and at half of its budget a trial below the median of those before it is stopped.
    return ASHAScheduler(time_attr="images_seen", max_t=budget, grace_period=max(1, budget // 4), reduction_factor=2)
