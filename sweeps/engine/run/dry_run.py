"""What a sweep would do: its trials as JSON, and the disk that they need."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Literal

from memo_core.experiment import EMBEDDED_RESOLUTION, Experiment, FlatExperiment
from memo_core.experiment.network_size import fine_tuned_count, parameter_count
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.names import CHECKPOINTS_KEPT
from sweeps.engine.plans.plan import Plan
from sweeps.engine.search.build import searcher_of

_BYTES_PER_PARAMETER = 16
"""float32: the parameters, their average, and Adam's two moments."""
_BYTES_PER_SAMPLE = 13
"""`best.npz`: whether it is memorized, its nearest image and two distances."""
_BYTES_BESIDE = 200_000
"""Of a trial: images of the gallery, results, generators; measured with small networks."""
_USUAL_RESOLUTION = 32


def dry_run(
    factor: Factor,
    plan: Plan,
    resources: Mapping[Literal["cpu", "gpu"], float],
    at_once: int,
    missing: Callable[[FlatExperiment], bool] = lambda trial: True,
) -> None:
    """Print a JSON object for each trial, of a search for those that it would start with; and the disk, on stderr.

    Args:
        factor: of the plan.
        plan: of the run.
        resources: of one trial.
        at_once: how many trials the cluster holds.
        missing: whether a trial must be trained, other than in a run that holds it already.
    """
    searcher = searcher_of(factor, plan)
    count = len(plan.trials) if plan.search.kind == "grid" else max(1, at_once)
    suggested = [searcher.suggest(str(index)) for index in range(count)]
    trials = [trial for trial in suggested if isinstance(trial, dict) and missing(trial)]
    for trial in trials:
        print(json.dumps({"config": trial, "resources": dict(resources)}))
    print(_disk(plan, trials), file=sys.stderr)


def _disk(plan: Plan, trials: list[FlatExperiment]) -> str:
    """Return the disk that trials need, in words; of a search, each of them."""
    sizes = [trial_bytes(Experiment.from_flat(trial)) for trial in trials]
    kept = f"with {CHECKPOINTS_KEPT} checkpoints each"
    if plan.total is None or plan.search.kind != "grid":
        return f"disk: up to {_text(max(sizes, default=0))} a trial, {kept}"
    return f"disk: {_text(sum(sizes))} for {len(trials)} trial{'' if len(trials) == 1 else 's'}, {kept}"


def trial_bytes(trial: Experiment) -> int:
    """Return about how many bytes the folder of a finished trial has."""
    samples = _BYTES_PER_SAMPLE * trial.evaluation.num_samples
    if trial.model.architecture == "optimum":
        return samples + _BYTES_BESIDE
    if trial.model.architecture == "pipeline":
        return CHECKPOINTS_KEPT * (_BYTES_PER_PARAMETER * fine_tuned_count(trial.text) + samples) + _BYTES_BESIDE
    resolution = trial.data.resolution or EMBEDDED_RESOLUTION.get(trial.data.dataset, _USUAL_RESOLUTION)
    labels = trial.data.num_labels if trial.data.labels != "none" else 0
    checkpoint = _BYTES_PER_PARAMETER * parameter_count(trial.model, resolution, 3, labels) + samples
    return CHECKPOINTS_KEPT * checkpoint + _BYTES_BESIDE


def _text(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
