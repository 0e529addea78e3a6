"""The plan of an Optuna search: one study of a factor, the space around it, and what can be checked of that space."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, field_constraint
from memo_core.experiment.presets import with_settings
from sweeps.engine.plans.checks import check_effect, check_effects
from sweeps.engine.plans.factor import Factor, Selection, Study, trials_of
from sweeps.engine.plans.plan import FactorDescription, OptunaOptions, Plan
from sweeps.engine.plans.ranges import Choices, Range, SearchSpace, Span, combinations, ends

_BUDGET_KEYS = ("data.size", "training.epochs", "training.images")


def optuna_plan(factor: Factor, selection: Selection, ranges: SearchSpace, options: OptunaOptions) -> Plan:
    """Return a search for the setting with the highest or lowest ratio, in one study at one size.

    Args:
        factor: its range is searched (`SearchRange`, or its values as choices).
        selection: one figure, or the first; the smallest of its sizes is taken; values replace the range by choices.
        ranges: further dotted keys with their spans, from `--set KEY=range(...)`; for the factor's own key, instead
            of its range.
        options: trials, direction, scheduler.

    Raises:
        MemosweepError: several figures, options that contradict each other, or a space with invalid ends, choices or
            combinations of them.
    """
    if selection.repeats != 1:
        raise MemosweepError("--search optuna takes no --repeats")
    _check_named_once(factor, selection, ranges)
    if len(selection.figures) > 1:
        raise MemosweepError(f"--figure {' '.join(selection.figures)}: --search optuna searches one study, name one")
    study = selection.studies(factor)[0]
    own = ranges[factor.key] if factor.key in ranges else _range_of(factor, study, selection)
    base = _base_of(factor, replace(selection, figures=[study.figure]), own)
    space = {factor.key: own, **ranges}
    space |= _axes_of_other_values(study, selection, base, space)
    searched = [key for key in _BUDGET_KEYS if key in space]
    if options.asha and searched:
        raise MemosweepError(f"--asha compares trials of one budget: leave it out where {searched[0]} is searched")
    probes = probes_of(factor, base, space)
    check_effects(factor, selection, probes)
    for key in space:
        check_effect(key, probes)
    return Plan(
        factor=FactorDescription.of(factor),
        preset=selection.preset,
        trials=(base,),
        varied=tuple(space),
        selection=selection,
        search=options.model_copy(update={"space": space, "figure": study.figure}),
        probes=probes,
    )


def complete_experiment(factor: Factor, base: Experiment, space: SearchSpace, values: Mapping[str, Any]) -> Experiment:
    """Return the whole experiment that searched values make of `base`; dependent settings yield to the space.

    Raises:
        MemosweepError: the values do not go together.
    """
    settings = base.to_flat()
    experiment = Experiment.from_flat(with_settings(settings, values))
    if factor.dependent is None:
        return experiment
    flat = experiment.to_flat()
    follows = factor.dependent(flat[factor.key], settings)
    return Experiment.from_flat({**flat, **{key: value for key, value in follows.items() if key not in space}})


def _check_named_once(factor: Factor, selection: Selection, ranges: SearchSpace) -> None:
    """Refuse values that a range of the same key would hide."""
    named = ("--values", factor.key, selection.values), ("--sizes", "data.size", selection.sizes)
    for option, key, explicit in named:
        if explicit and key in ranges:
            span = f"--set {key}=range(...) or choice(...)"
            raise MemosweepError(f"{option} and {span} both say what to search: give one")


def _range_of(factor: Factor, study: Study, selection: Selection) -> Span:
    named = selection.values or (selection.sizes if factor.key == "data.size" else ())
    if named:
        return Choices(choices=list(named))
    continuum = factor.search_range
    if continuum is None:
        return Choices(choices=[list(value) if isinstance(value, tuple) else value for value in study.values])
    return Range(
        low=min(study.values) if continuum.low is None else continuum.low,
        high=max(study.values) if continuum.high is None else continuum.high,
        log=continuum.log,
        integer=field_constraint(factor.key, "type") is int,
        complement=continuum.complement,
    )


def _base_of(factor: Factor, selection: Selection, own: Span) -> Experiment:
    """Return the experiment that the search changes: the first value of each further axis, the smallest size."""
    values = ends(factor.key, own)
    sizes = () if factor.key == "data.size" else selection.sizes
    return min(trials_of(factor, replace(selection, values=values, sizes=sizes)), key=lambda trial: trial.data.size)


def _axes_of_other_values(study: Study, selection: Selection, base: Experiment, space: SearchSpace) -> dict[str, Span]:
    """Return the further axes that mean nothing to the base experiment, but to other values of the factor, as choices.

    Such as the rank of LoRA, which full fine-tuning has not: with the base's, there would be none to draw.
    """
    axes = {**study.grid, **{key: (value,) for key, value in selection.settings.items()}}
    flat = base.to_flat()
    return {
        key: Choices(choices=list(values))
        for key, values in axes.items()
        if key not in space and flat.get(key) is None and None not in values
    }


def probes_of(factor: Factor, base: Experiment, space: SearchSpace) -> tuple[Experiment, ...]:
    """Return the experiments at the ends of a space, in all combinations.

    Raises:
        MemosweepError: one of them is invalid.
    """
    probes = []
    for values in combinations(space):
        try:
            probes.append(complete_experiment(factor, base, space, values))
        except MemosweepError as error:
            together = ", ".join(f"{key} = {value}" for key, value in values.items())
            raise MemosweepError(f"{error} (searched: {together})") from None
    return tuple(probes)
