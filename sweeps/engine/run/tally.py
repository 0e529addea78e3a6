"""How many trials of a run ended, and how."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.runs.final import without_numbers
from memo_core.experiment import Experiment
from sweeps.engine.plans.plan import OptunaOptions, Plan

_MAX_CAUSES = 5


@dataclass(frozen=True)
class Tally:
    """Trials by their end."""

    started: int
    finished: int
    errors: int
    """Given up by Tune after the last restart; `--resume` tries them again."""
    failures: Sequence[tuple[str, str]]
    """(`diverged` or `failed`, cause) of each trial that would end alike if it were tried again."""

    @property
    def ended(self) -> int:
        """Trials that need no further training in this run."""
        return self.finished + self.errors + len(self.failures)

    def failure_lines(self) -> list[str]:
        """Say how many trials failed for good: a line for each cause, five at most.

        Causes that differ in their numbers alone, such as the images seen, are one.
        """
        groups: dict[tuple[str, str], list[str]] = {}
        for kind, cause in self.failures:
            groups.setdefault((kind, without_numbers(cause)), []).append(cause)
        found = sorted(groups.items(), key=lambda item: -len(item[1]))
        lines = []
        for (kind, _), causes in found:
            example = ", the first" if len(set(causes)) > 1 else ""
            lines.append(f"{len(causes)} of {self.started} trials {kind}{example}: {causes[0]}")
        further = len(lines) - _MAX_CAUSES
        if further < 2:
            return lines
        return [*lines[:_MAX_CAUSES], f"and {further} further causes, see result.json in the trials' folders"]


def tally(results: Iterable[Any], plan: Plan) -> Tally:
    """Count the results of Tune (`ray.tune.Result`)."""
    started = finished = errors = 0
    failures = []
    for result in results:
        started += 1
        metrics = result.metrics or {}
        if result.error is not None:
            errors += 1
        elif "failure" in metrics:
            failures.append((str(metrics["failure"]), str(metrics.get("cause"))))
        else:
            finished += _is_finished(metrics, result.config, plan)
    return Tally(started, finished, errors, failures)


def _is_finished(metrics: dict[str, Any], config: dict[str, Any], plan: Plan) -> bool:
    # Tune marks the end of a function trainable in memory only, so of a restored run its budget decides.
    if "images_seen" not in metrics:
        return False
    if metrics.get("stopped_early", False) or (isinstance(plan.search, OptunaOptions) and plan.search.asha):
        return True
    experiment = Experiment.from_flat(config)
    trained = experiment.model.architecture != "optimum"
    return not trained or metrics["images_seen"] >= experiment.total_images
