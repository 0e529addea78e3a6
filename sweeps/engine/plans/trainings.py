"""Which trials of a plan come out of one training: those that differ in what acts after its steps alone."""

from collections.abc import Iterable, Mapping
from typing import Literal

from memo_core.experiment import Experiment
from memo_core.results import experiment_id, training_id
from sweeps.engine.cluster.machines.capacity import ranks_of
from sweeps.engine.plans.plan import Plan

Trainings = Mapping[str, tuple[Experiment, ...]]
"""By a name of their training: trials that one of them trains for all."""


def shared_trainings(plan: Plan, resources: Mapping[Literal["cpu", "gpu"], float]) -> Trainings:
    """Return the trials of a plan by training, where it has several trials.

    Searches choose their trials one after the other, on several GPUs all have a part in each step, and pipelines have
    averages of their own: there each trial trains by itself.

    Args:
        plan: of a run.
        resources: of one trial.
    """
    if plan.search.kind != "grid" or ranks_of(resources) > 1:
        return {}
    return by_training(plan.trials)


def by_training(trials: Iterable[Experiment]) -> Trainings:
    """Return the trials that share a training with others, by training, in their order."""
    found: dict[str, list[Experiment]] = {}
    for trial in trials:
        if trial.model.architecture not in ("optimum", "pipeline"):
            found.setdefault(training_id(trial.to_flat()), []).append(trial)
    return {name: tuple(group) for name, group in found.items() if len(group) > 1}


def trained_along(trials: Iterable[Experiment]) -> set[str]:
    """Return the identities of those trials that need no steps, since one before them in the list takes them."""
    return {experiment_id(trial.to_flat()) for group in by_training(trials).values() for trial in group[1:]}
