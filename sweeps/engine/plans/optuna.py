"""The plan of an Optuna search: one study of a factor, the space around it, and what can be checked of that space."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, FlatExperiment, field_constraint
from memo_core.experiment.presets import with_settings
from sweeps.engine.plans.checks import check_effect, check_effects
from sweeps.engine.plans.factor import Factor, Selection, Study, trials_of
from sweeps.engine.plans.paths import absolute_value
from sweeps.engine.plans.plan import Plan
from sweeps.engine.plans.ranges import SearchSpace, Span, combinations, ends
from sweeps.engine.plans.search_settings import OptunaSettings

_BUDGET_KEYS = ("data.size", "training.epochs", "training.images")


@dataclass(frozen=True)
class OptunaOptions:
    """What the command line says of an Optuna search."""

    num_trials: int = 20
    direction: Literal["max", "min"] = "max"
    asha: bool = False


def optuna_plan(factor: Factor, selection: Selection, ranges: SearchSpace, options: OptunaOptions) -> Plan:
    """A search for the setting with the highest or lowest ratio, in one study at one size.

    Args:
        factor: its range is searched (`SearchRange`, or its values as choices).
        selection: one figure, or the first; the smallest of its sizes is taken; values replace the range by choices.
        ranges: further dotted keys with their spans, from `--set KEY=range(...)`; for the factor's own key, instead
            of its range.
        options: trials, direction, scheduler.

    Raises:
        MemosweepError: no trials, several figures, options that contradict each other, or a space with invalid ends,
            choices or combinations of them.
    """
    if options.num_trials < 1:
        raise MemosweepError(f"--trials {options.num_trials}: expected at least 1")
    if selection.repeats != 1:
        raise MemosweepError("--search optuna takes no --repeats")
    _check_named_once(factor, selection, ranges)
    study = _study_of(factor, selection)
    own = ranges[factor.key] if factor.key in ranges else _range_of(factor, study, selection)
    space = {key: _with_absolute_paths(key, span) for key, span in {factor.key: own, **ranges}.items()}
    searched = [key for key in _BUDGET_KEYS if key in space]
    if options.asha and searched:
        raise MemosweepError(f"--asha compares trials of one budget: leave it out where {searched[0]} is searched")
    base = _base_of(factor, replace(selection, figures=[study.figure]), own)
    probes = _probes(factor, base, space)
    check_effects(factor, selection, probes)
    for key in space:
        check_effect(key, probes)
    return Plan(
        "optuna",
        [base],
        list(space),
        OptunaSettings(
            space=space,
            figure=study.figure,
            num_trials=options.num_trials,
            direction=options.direction,
            asha=options.asha,
        ),
        probes=probes,
    )


def complete_experiment(
    factor: Factor, base: FlatExperiment, space: SearchSpace, values: Mapping[str, Any]
) -> FlatExperiment:
    """The whole experiment that searched values make of `base`; what follows from the factor yields to the space.

    Raises:
        MemosweepError: the values do not go together.
    """
    experiment = Experiment.from_flat(with_settings(base, values)).to_flat()
    if factor.tied is None:
        return experiment
    tied = {key: value for key, value in factor.tied(experiment[factor.key], base).items() if key not in space}
    return Experiment.from_flat({**experiment, **tied}).to_flat()


def _check_named_once(factor: Factor, selection: Selection, ranges: SearchSpace) -> None:
    """Refuse values that a range of the same key would hide."""
    for option, key, given in (("--values", factor.key, selection.values), ("--sizes", "data.size", selection.sizes)):
        if given and key in ranges:
            raise MemosweepError(
                f"{option} and --set {key}=range(...) or choice(...) both say what to search: give one"
            )


def _with_absolute_paths(key: str, span: Span) -> Span:
    return {"choices": [absolute_value(key, value) for value in span["choices"]]} if "choices" in span else span


def _study_of(factor: Factor, selection: Selection) -> Study:
    studies = {study.figure: study for study in factor.studies(selection.preset)}
    if len(selection.figures) > 1:
        raise MemosweepError(f"--figure {' '.join(selection.figures)}: --search optuna searches one study, name one")
    name = selection.figures[0] if selection.figures else next(iter(studies))
    if name not in studies:
        raise MemosweepError(
            f"--figure {name}: the {selection.preset} preset of {factor.name} has {', '.join(studies)}"
        )
    return studies[name]


def _range_of(factor: Factor, study: Study, selection: Selection) -> Span:
    named = selection.values or (selection.sizes if factor.key == "data.size" else ())
    if named:
        return {"choices": list(named)}
    continuum = factor.search_range
    if continuum is None:
        return {"choices": [list(value) if isinstance(value, tuple) else value for value in study.values]}
    span = {
        "low": min(study.values) if continuum.low is None else continuum.low,
        "high": max(study.values) if continuum.high is None else continuum.high,
        "log": continuum.log,
        "integer": field_constraint(factor.key, "type") is int,
    }
    return {**span, "complement": True} if continuum.complement else span


def _base_of(factor: Factor, selection: Selection, own: Span) -> FlatExperiment:
    """The experiment that the search changes: of a study's further axes their first values, of its sizes the least."""
    values = ends(factor.key, own)
    sizes = () if factor.key == "data.size" else selection.sizes
    return min(trials_of(factor, replace(selection, values=values, sizes=sizes)), key=lambda flat: flat["data.size"])


def _probes(factor: Factor, base: FlatExperiment, space: SearchSpace) -> list[FlatExperiment]:
    probes = []
    for values in combinations(space):
        try:
            probes.append(complete_experiment(factor, base, space, values))
        except MemosweepError as error:
            together = ", ".join(f"{key} = {value}" for key, value in values.items())
            raise MemosweepError(f"{error} (searched: {together})") from None
    return probes
