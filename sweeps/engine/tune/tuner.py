"""From a manifest to what `tune.Tuner` needs: search space, searcher, scheduler, number of samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from analysis.emm.search.search import CurvePrior, Search
from analysis.emm.stopping.rules import StoppingRules
from memo_core.experiment import Experiment, FlatExperiment
from sweeps.engine.cluster.session import trials_at_once
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import Manifest
from sweeps.engine.plans.names import grid_space
from sweeps.engine.plans.optuna import complete_experiment
from sweeps.engine.plans.plan import Plan
from sweeps.engine.plans.search_settings import BisectSettings, OptunaSettings
from sweeps.engine.tune.emm_searcher import EMMSearcher
from sweeps.engine.tune.grid_searcher import ListedTrials
from sweeps.engine.tune.optuna_searcher import OptunaExperimentSearch
from sweeps.engine.tune.trainable import train_trial


@dataclass(frozen=True)
class Strategy:
    """How Tune gets its trials."""

    space: dict[str, Any]
    searcher: Any = None
    num_samples: int = 1
    scheduler: TrialScheduler | None = None


def strategy_of(factor: Factor, manifest: Manifest) -> Strategy:
    """The strategy that a manifest describes."""
    if manifest.search != "grid":
        plan = Plan(manifest.search, manifest.trials, manifest.moved, manifest.search_settings)
        searcher = searcher_of(factor, plan, partial(trials_at_once, manifest.resources))
        return Strategy({}, searcher, num_samples=-1, scheduler=scheduler_of(plan))
    space = grid_space(manifest.trials)
    if space is not None:
        return Strategy(space)
    return Strategy({}, ListedTrials(manifest.trials), num_samples=len(manifest.trials))


def trainable_of(manifest: Manifest) -> Any:
    """The trainable with its resources, and with the stopping rules of an EMM search."""
    trainable: Any = train_trial
    settings = manifest.search_settings
    if isinstance(settings, BisectSettings):
        rules = StoppingRules(settings.target, settings.early_success, settings.sequential_sampling)
        trainable = tune.with_parameters(train_trial, rules=rules)
    return tune.with_resources(trainable, manifest.resources)


def searcher_of(
    factor: Factor, plan: Plan, slots: Callable[[], int | None] = lambda: None
) -> EMMSearcher | OptunaExperimentSearch:
    """A fresh searcher of a plan that is no grid; `slots` as for `EMMSearcher`."""
    if isinstance(plan.settings, BisectSettings):
        return _bisect(plan.settings, plan.trials, slots)
    assert isinstance(plan.settings, OptunaSettings)
    return _optuna(factor, plan.settings, plan.trials[0])


def _bisect(
    settings: BisectSettings, variants: Sequence[FlatExperiment], slots: Callable[[], int | None]
) -> EMMSearcher:
    experiment = Experiment.from_flat(variants[0])
    search = Search(
        settings.labels,
        settings.min_size,
        settings.max_size,
        settings.target,
        tolerance=settings.tolerance,
        num_samples=experiment.evaluation.num_samples,
        seed=experiment.seed,
        prior=CurvePrior(seed_spread=settings.seed_spread),
    )
    return EMMSearcher(search, dict(zip(settings.labels, variants, strict=True)), slots)


def _optuna(factor: Factor, settings: OptunaSettings, base: FlatExperiment) -> OptunaExperimentSearch:
    return OptunaExperimentSearch(
        settings.space,
        partial(complete_experiment, factor, base, settings.space),
        settings.direction,
        settings.num_trials,
        seed=base["seed"],
    )


def scheduler_of(plan: Plan) -> TrialScheduler | None:
    """ASHA where it was asked for, else none."""
    if not (isinstance(plan.settings, OptunaSettings) and plan.settings.asha):
        return None
    budget = Experiment.from_flat(plan.trials[0]).total_images
    # At a quarter and at half of its budget a trial below the median of those before it is stopped.
    return ASHAScheduler(time_attr="images_seen", max_t=budget, grace_period=max(1, budget // 4), reduction_factor=2)
