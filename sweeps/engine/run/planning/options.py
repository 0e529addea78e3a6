"""From a command line to the plan of a run."""

import argparse
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from memo_core.errors import MemosweepError, quoted
from memo_core.experiment import Experiment, FlatExperiment, parse_value
from sweeps.engine.plans.bisect import bisect_plan
from sweeps.engine.plans.factor import Factor, Preset, Selection, absolute_paths, absolute_value
from sweeps.engine.plans.names import BISECT_OPTIONS, EARLY_STOPS, OPTUNA_OPTIONS, without_budget
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import EMMSearchOptions, OptunaOptions, Plan, grid_plan
from sweeps.engine.plans.ranges import split_ranges

Options = TypeVar("Options", bound=BaseModel)


def plan_of(factor: Factor, options: argparse.Namespace, preset: Preset) -> Plan:
    """Return the plan that the options of a new run describe."""
    settings, ranges = split_ranges(options.set)
    selection = _selection(factor, options, preset, settings)
    if ranges and options.search != "optuna":
        span = f"--set {next(iter(ranges))}=range(...) or choice(...)"
        raise MemosweepError(f"{span}: only --search optuna searches them")
    if options.search == "optuna":
        optuna = _typed(OptunaOptions, num_trials=options.trials, direction=options.direction, asha=options.asha)
        return optuna_plan(factor, selection, ranges, optuna)
    if options.search == "bisect":
        return bisect_plan(factor, selection, _typed(EMMSearchOptions, **_typed_search(options)))
    return grid_plan(factor, selection)


def _typed(model: type[Options], **typed: Any) -> Options:
    """Return the options of a search as typed; those that were left out keep their defaults.

    Raises:
        MemosweepError: which option is wrong, and what would be right.
    """
    try:
        return model(**{name: value for name, value in typed.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][0]).removeprefix("num_").replace("_", "-")
        message = first["msg"].replace("Input should be", "expected", 1)
        raise MemosweepError(f"--{option} {quoted(first['input'])}: {message}") from None


def _selection(factor: Factor, options: argparse.Namespace, preset: Preset, settings: FlatExperiment) -> Selection:
    if options.repeats > 1 and "seed" in settings:
        seed = f"--set seed={settings['seed']} with --repeats"
        raise MemosweepError(f"{seed}: the repeats are the seeds, give one of them")
    return Selection(
        preset=preset,
        figures=options.figure,
        values=[absolute_value(factor.key, parse_value(factor.key, text)) for text in options.values],
        sizes=[parse_value("data.size", text) for text in options.sizes],
        settings=absolute_paths(settings),
        repeats=options.repeats,
    )


def extended_plan(factor: Factor, options: argparse.Namespace, stored: Plan) -> Plan:
    """Return the plan of a run with what these options add.

    Raises:
        MemosweepError: an option changes what has been trained already.
    """
    settings, ranges = split_ranges(options.set)
    grow = ("training.epochs", "training.images")
    wrong = next(iter(ranges), None) or next((key for key in settings if key not in grow), None)
    if wrong is not None:
        raise MemosweepError(f"--extend with --set {wrong}: only training.epochs or training.images can grow")
    if options.preset not in ("auto", stored.preset):
        raise MemosweepError(f"--extend with --preset {options.preset}: the run has the preset {stored.preset}")
    _check_kind(options, stored, settings)
    if stored.selection is None:
        raise MemosweepError(f"--extend {options.extend}: its sweep.json does not say what was selected")
    search = stored.search
    if isinstance(search, OptunaOptions):
        trials = search.num_trials if options.trials is None else options.trials
        return stored.model_copy(update={"search": _typed(OptunaOptions, **{**dict(search), "num_trials": trials})})
    selection = stored.selection.extended(_selection(factor, options, stored.preset, settings))
    if isinstance(search, EMMSearchOptions):
        larger = _typed(EMMSearchOptions, **{**dict(search), **_typed_search(options)})
        for name in ("zeta", *EARLY_STOPS):
            if getattr(larger, name) != getattr(search, name):
                option = f"--{name.replace('_', '-')}"
                raise MemosweepError(f"--extend with another {option}: trials were stopped by it, start a new run")
        return bisect_plan(factor, selection, larger)
    plan = grid_plan(factor, selection)
    _check_larger(options.extend, stored, plan)
    return plan


def _check_kind(options: argparse.Namespace, stored: Plan, settings: FlatExperiment) -> None:
    """Refuse options of another kind of search than a run's."""
    kind = stored.search.kind
    others = {"grid": (*BISECT_OPTIONS, *OPTUNA_OPTIONS), "bisect": OPTUNA_OPTIONS, "optuna": BISECT_OPTIONS}[kind]
    wrong = next((name for name in others if getattr(options, name) is not None), None)
    if wrong is not None:
        what = {"grid": "a grid", "bisect": "an EMM search", "optuna": "an Optuna search"}[kind]
        raise MemosweepError(f"--extend with --{wrong.replace('_', '-')}: the run is {what}")
    if kind == "bisect" and settings:
        raise MemosweepError(
            f"--extend with --set {next(iter(settings))}: an EMM is that of one budget, start a new run"
        )
    if kind == "optuna" and (
        options.values or options.sizes or options.figure or settings or options.repeats > 1
        or options.direction is not None or options.asha is not None
    ):  # fmt: skip
        raise MemosweepError("--extend of an Optuna search takes --trials alone")


def _check_larger(name: str, stored: Plan, plan: Plan) -> None:
    """Refuse a plan that lacks trials of a run, or gives them less to train."""
    budgets = {without_budget(trial.to_flat()): trial.total_images for trial in plan.trials}
    lost = [trial for trial in stored.trials if without_budget(trial.to_flat()) not in budgets]
    if lost:
        raise MemosweepError(f"--extend {name}: these options leave out {len(lost)} of its {len(stored.trials)} trials")
    for trial in stored.trials:
        now = budgets[without_budget(trial.to_flat())]
        if now < trial.total_images:
            raise MemosweepError(f"--extend {name}: its trials see {trial.total_images:,} images, more than {now:,}")


def _typed_search(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of an EMM search that were typed."""
    names = ("zeta", "tolerance", "min_size", "max_size", *EARLY_STOPS)
    protocol = dict.fromkeys(EARLY_STOPS, False) if options.protocol == "paper" else {}
    return {**protocol, **{name: value for name in names if (value := getattr(options, name)) is not None}}


def described(factor: Factor, plan: Plan) -> str | None:
    """Return what a search looks for, in one line; None for a grid."""
    if isinstance(plan.search, OptunaOptions):
        return _searched_study(factor, plan.search, plan.trials[0], plan.preset)
    return _emm_search(plan.search, len(plan.trials)) if isinstance(plan.search, EMMSearchOptions) else None


def _emm_search(search: EMMSearchOptions, count: int) -> str:
    """Return what an EMM search looks for, in one line."""
    stops = [name.replace("_", " ") for name in EARLY_STOPS if getattr(search, name)]
    return (
        f"searching the EMM of {count} value{'' if count == 1 else 's'}: the largest |D| from "
        f"{search.min_size:,} to {search.max_size:,} with a ratio of at least {search.target:g}, "
        f"to {100 * search.tolerance:g}%; {', '.join(stops) or 'no early stops'}"
    )


def _searched_study(factor: Factor, search: OptunaOptions, base: Experiment, preset: Preset) -> str:
    """Return what an Optuna search holds fixed, and how to choose otherwise, in one line."""
    figure, flat = search.figure, base.to_flat()
    study = next(study for study in factor.studies(preset) if study.figure == figure)
    held = [key for key in ("data.size", *study.grid) if key not in search.space]
    others = ["--figure"] if len(factor.studies(preset)) > 1 else []
    others += ["--sizes" if key == "data.size" else f"--set {key}" for key in held]
    name = figure if figure.startswith("Table") else f"figure {figure}"
    fixed = ", ".join(f"{key} = {flat[key]}" for key in held)
    choose = f"; {', '.join(others)} choose otherwise" if others else ""
    return f"searching {name}{f' at {fixed}' if fixed else ''}{choose}"
