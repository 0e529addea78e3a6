"""EMM by search under an ordinary `tune.Tuner`: Tune asks this searcher, which asks `analysis.emm.search.search`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from analysis.emm.search.search import Proposal, Search, Training
from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import FlatExperiment
from sweeps.engine.plans.names import METRIC
from sweeps.engine.tune.emm_state import EMMState
from sweeps.engine.tune.state import parsed, saved_state

_RECORD = "training/"


class EMMSearcher(Searcher):  # type: ignore[misc] # ray ships no types
    """Proposes the next training (factor value, size, seed) for each free slot of the cluster.

    Its whole state is the search's JSON and the proposals of live trials: saved and restored, it proposes what it
    would have proposed.

    Args:
        search: over the labels of the variants.
        variants: label -> complete flat experiment, of which size, seed and samples are replaced.
        slots: how many trials run at once, at present; none where that is not known.
    """

    def __init__(
        self,
        search: Search,
        variants: Mapping[str, FlatExperiment],
        slots: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__(metric=METRIC, mode="max")
        self.search = search
        self._variants = dict(variants)
        self._slots = slots
        self._live: dict[str, Proposal] = {}

    def suggest(self, trial_id: str) -> FlatExperiment | str | None:
        """The next trial's experiment; None to wait for running ones; FINISHED when every value has its answer."""
        if self.search.finished:
            # Tune takes FINISHED for good, and a trial that still runs may yet reopen a value.
            return None if self._live else str(Searcher.FINISHED)
        # Tune asks for one trial more than it can run. A value's next size must not be fixed before its last is known.
        slots = self._slots()
        proposals = self.search.propose(1, only_idle=slots is not None and len(self._live) >= slots)
        if not proposals:
            # With nothing under way, waiting would be for ever.
            return None if self._live else str(Searcher.FINISHED)
        (proposal,) = proposals
        self._live[trial_id] = proposal
        return self.experiment_of(proposal)

    def experiment_of(self, proposal: Proposal) -> FlatExperiment:
        """The complete experiment that a proposal stands for."""
        return {
            **self._variants[str(proposal.value)],
            "data.size": proposal.size,
            "seed": proposal.seed,
            "evaluation.num_samples": proposal.num_samples,
        }

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn from a finished trial; a failed one is requested again, a limited number of times."""
        proposal = self._live.pop(trial_id, None)
        if proposal is None:
            return
        # A training that diverged has no ratio, neither 0 nor 1.
        # Tune flattens the nested record of the trial.
        record = {name[len(_RECORD) :]: value for name, value in (result or {}).items() if name.startswith(_RECORD)}
        if error or not record or "failure" in (result or {}):
            self.search.fail(proposal)
            return
        self.search.observe(proposal, Training(**record))

    def save(self, checkpoint_path: str) -> None:
        """Write the state as JSON."""
        live = {trial_id: asdict(proposal) for trial_id, proposal in self._live.items()}
        Path(checkpoint_path).write_text(json.dumps({"search": self.search.to_json(), "live": live}, allow_nan=False))

    def restore(self, checkpoint_path: str) -> None:
        """Read it back."""
        content = Path(checkpoint_path).read_bytes()
        self.search = _search_of(content, checkpoint_path)
        self._live = parsed(EMMState, content, checkpoint_path).live


def saved_search(run_path: str) -> Search | None:
    """The search as Tune last saved it in a run's folder; None where there is none, MemosweepError where damaged."""
    content = saved_state(run_path)
    return None if content is None else _search_of(content, run_path)


def _search_of(content: bytes, where: str) -> Search:
    parsed(EMMState, content, where)
    try:
        return Search.from_json(json.loads(content)["search"])
    except ValueError as error:
        raise MemosweepError(f"{where}: the saved search is damaged ({first_line(error)})") from None
