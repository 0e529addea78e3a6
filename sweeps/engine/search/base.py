"""What every searcher can do, without Tune."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

from memo_core.experiment import FlatExperiment

FINISHED: Final = "FINISHED"
"""A searcher's answer when it proposes no further trial."""

Suggestion = FlatExperiment | Literal["FINISHED"] | None
"""A whole experiment; FINISHED; or None, to be asked again when a trial has ended."""


class TrialSearcher(Protocol):
    """Proposes experiments and learns from their results.

    What it proposes follows from its arguments and from the calls so far alone, in their order: a fresh searcher that
    gets the same calls proposes the same.
    """

    def suggest(self, key: str, full: bool = False) -> Suggestion:
        """Return the next experiment.

        Args:
            key: names the suggestion, to `complete` it.
            full: every slot of the cluster is taken, so that the trial would wait.
        """

    def complete(self, key: str, result: Mapping[str, Any] | None) -> None:
        """Learn from the last report of a trial; None for one that failed or diverged."""

    @property
    def ended(self) -> str | None:
        """Why no further trial is proposed although some were asked for; None where that is not so."""
