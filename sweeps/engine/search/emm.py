"""EMM by search: the values' trainings, as `analysis.emm.search.search` proposes them."""

from collections.abc import Mapping
from typing import Any

from analysis.emm.search.search import CurvePrior, Proposal, Search, Training
from memo_core.experiment import FlatExperiment
from sweeps.engine.plans.plan import EMMSearchOptions, Plan
from sweeps.engine.search.base import FINISHED, Suggestion


class EMMSearcher:
    """Proposes the next training (factor value, size, seed) for each free slot of the cluster.

    Args:
        search: over the labels of the variants.
        variants: label -> complete flat experiment, of which size, seed and samples are replaced.
    """

    ended = None

    def __init__(self, search: Search, variants: Mapping[str, FlatExperiment]) -> None:
        self.search = search
        self._variants = dict(variants)
        self._live: dict[str, Proposal] = {}

    def suggest(self, key: str, full: bool = False) -> Suggestion:
        """The next trial's experiment; None to wait for running ones; FINISHED when every value has its answer."""
        if self.search.finished:
            # FINISHED is for good, and a trial that still runs may yet reopen a value.
            return None if self._live else FINISHED
        # Tune asks for one trial more than it can run. A value's next size must not be fixed before its last is known.
        proposals = self.search.propose(1, only_idle=full)
        if not proposals:
            # With nothing under way, waiting would be for ever.
            return None if self._live else FINISHED
        (proposal,) = proposals
        self._live[key] = proposal
        return self.experiment_of(proposal)

    def experiment_of(self, proposal: Proposal) -> FlatExperiment:
        """The complete experiment that a proposal stands for."""
        return {
            **self._variants[str(proposal.value)],
            "data.size": proposal.size,
            "seed": proposal.seed,
            "evaluation.num_samples": proposal.num_samples,
        }

    def complete(self, key: str, result: Mapping[str, Any] | None) -> None:
        """Learn from a finished trial; a failed one is requested again, a limited number of times.

        A training that diverged has no ratio, neither 0 nor 1.
        """
        proposal = self._live.pop(key)
        if result is None or "training" not in result:
            self.search.fail(proposal)
            return
        self.search.observe(proposal, Training(**result["training"]))


def search_of(options: EMMSearchOptions, plan: Plan, seed_spread: float) -> Search:
    """Return the search of a plan; `seed_spread` as for `CurvePrior`."""
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
        prior=CurvePrior(seed_spread=seed_spread),
    )
