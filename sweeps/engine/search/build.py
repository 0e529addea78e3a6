"""The searcher of a plan."""

from functools import partial

from analysis.emm.search.search import CurvePrior, Search
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.optuna import complete_experiment
from sweeps.engine.plans.plan import SEED_SPREAD, EMMSearchOptions, OptunaOptions, Plan
from sweeps.engine.search.emm import EMMSearcher
from sweeps.engine.search.listed import ListedTrials
from sweeps.engine.search.optuna import OptunaExperimentSearch


def searcher_of(factor: Factor, plan: Plan) -> ListedTrials | EMMSearcher | OptunaExperimentSearch:
    """Return a fresh searcher of a plan."""
    search, first = plan.search, plan.trials[0]
    if isinstance(search, EMMSearchOptions):
        variants = dict(zip(plan.labels, (trial.to_flat() for trial in plan.trials), strict=True))
        return EMMSearcher(_emm_search(search, plan), variants)
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
