"""What a sweep would do: its trials as JSON, the disk that they need, and on request what they cost."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from memo_core.experiment import EMBEDDED_RESOLUTION, Experiment, FlatExperiment
from memo_core.experiment.network_size import fine_tuned_count, parameter_count
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.names import CHECKPOINTS_KEPT
from sweeps.engine.plans.plan import Plan
from sweeps.engine.plans.trainings import shared_trainings, trained_along
from sweeps.engine.search.build import searcher_of

if TYPE_CHECKING:
    from sweeps.engine.run.planning.estimate import Cost

_BYTES_PER_PARAMETER = 16
"""float32: the parameters, their average, and Adam's two moments."""
_BYTES_PER_SAMPLE = 13
"""`best.npz`: whether it is memorized, its nearest image and two distances."""
_BYTES_BESIDE = 200_000
"""Of a trial: images of the gallery, results, generators; measured with small networks."""
_USUAL_RESOLUTION = 32


@dataclass(frozen=True)
class Estimate:
    """How the cost of the trials is to be estimated."""

    images_per_second: float | None = None
    """In training, of the first trial's network; None measures it here."""


def dry_run(
    factor: Factor,
    plan: Plan,
    resources: Mapping[Literal["cpu", "gpu"], float],
    at_once: int,
    missing: Callable[[FlatExperiment], bool] = lambda trial: True,
    estimate: Estimate | None = None,
) -> None:
    """Print a JSON object for each trial, of a search for those that it would start with; on stderr disk and cost.

    Args:
        factor: of the plan.
        plan: of the run.
        resources: of one trial.
        at_once: how many trials the cluster holds.
        missing: whether a trial must be trained, other than in a run that holds it already.
        estimate: what the trials cost is wanted too, for which torch is loaded.

    Raises:
        MemosweepError: there is nothing to estimate the cost by.
    """
    searcher = searcher_of(factor, plan)
    count = len(plan.trials) if plan.search.kind == "grid" else max(1, at_once)
    suggested = [searcher.suggest(str(index)) for index in range(count)]
    trials = [trial for trial in suggested if isinstance(trial, dict) and missing(trial)]
    costs: list[dict[str, Any]] = [{} for _ in trials]
    summary: list[str] = []
    if estimate is not None:
        costs, summary = _costs(plan, trials, resources, at_once, estimate)
    for trial, cost in zip(trials, costs, strict=True):
        print(json.dumps({"config": trial, "resources": dict(resources), **cost}))
    for line in [*summary, _disk(plan, trials)]:
        print(line, file=sys.stderr)


def _costs(
    plan: Plan,
    trials: list[FlatExperiment],
    resources: Mapping[Literal["cpu", "gpu"], float],
    at_once: int,
    estimate: Estimate,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what each trial costs, for JSON, and all of them in words; of a search each trial."""
    from sweeps.engine.run.planning.estimate import costs_of  # noqa: PLC0415 (loads torch)

    experiments = [Experiment.from_flat(trial) for trial in trials]
    along = trained_along(experiments) if shared_trainings(plan, resources) else set()
    costs, basis = costs_of(experiments, resources, estimate.images_per_second, along=along)
    described = [
        {"estimate": {**asdict(cost), "bytes": trial_bytes(experiment)}}
        for cost, experiment in zip(costs, experiments, strict=True)
    ]
    hours, images = [cost.hours for cost in costs], sum(cost.images for cost in costs)
    ends = [_duration(min(hours, default=0)), _duration(max(hours, default=0))]
    each = f"{' to '.join(dict.fromkeys(ends))} each"
    if plan.search.kind != "grid":
        total = "" if plan.total is None else f", {plan.total} trials"
        return described, [f"cost: {each}{total}; {basis}"]
    kind = "GPU hours" if resources.get("gpu", 0) else "hours"
    amount = sum(cost.hours if cost.gpu_hours is None else cost.gpu_hours for cost in costs)
    # The longest trial, or all of them one after the other on what there is. Trials that share a GPU have it in turn.
    devices = max(1.0, at_once * min(1.0, resources.get("gpu", 0) or 1.0))
    wall = max([sum(hours) / devices, *hours, *_hours_of_trainings(plan, experiments, costs, resources)], default=0)
    count = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
    time = f"about {_duration(wall)} with {at_once} at once"
    return described, [f"cost: {count}, {images:,} images, {amount:.3g} {kind} ({each}), {time}; {basis}"]


def _hours_of_trainings(
    plan: Plan,
    trials: Sequence[Experiment],
    costs: Sequence["Cost"],
    resources: Mapping[Literal["cpu", "gpu"], float],
) -> list[float]:
    """Return the hours of trials that share a training, which are evaluated one after the other."""
    hours = {trial: cost.hours for trial, cost in zip(trials, costs, strict=True)}
    groups = shared_trainings(plan, resources).values()
    return [sum(hours.get(trial, 0.0) for trial in group) for group in groups]


def _duration(hours: float) -> str:
    return f"{hours:.3g} hours" if hours >= 1 else f"{60 * hours:.3g} minutes"


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
