"""The searcher of a plan."""

from functools import partial

from sweeps.engine.plans.factor import Factor, family_of
from sweeps.engine.plans.plan import SEED_SPREAD, EMMSearchOptions, OptunaOptions, Plan
from sweeps.engine.search.base import TrialSearcher
from sweeps.engine.search.listed import ListedTrials

# ruff: noqa: PLC0415 - a list of trials must not wait for scipy or Optuna


def searcher_of(factor: Factor, plan: Plan) -> TrialSearcher:
    """Return a fresh searcher of a plan."""
    search, first = plan.search, plan.trials[0]
    if isinstance(search, EMMSearchOptions):
        from sweeps.engine.search.emm import EMMSearcher, search_of

        variants = dict(zip(plan.labels, (trial.to_flat() for trial in plan.trials), strict=True))
        return EMMSearcher(search_of(search, plan, SEED_SPREAD[family_of(plan.preset)]), variants)
    if isinstance(search, OptunaOptions):
        from sweeps.engine.plans.optuna import complete_experiment
        from sweeps.engine.search.optuna import OptunaExperimentSearch

        complete = partial(complete_experiment, factor, first, search.space)
        return OptunaExperimentSearch(search.space, complete, search.direction, search.num_trials, seed=first.seed)
    return ListedTrials(plan.trials)
