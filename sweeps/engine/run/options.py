"""From a command line to the plan of a run."""

import argparse
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from memo_core.errors import MemosweepError, quoted
from memo_core.experiment import Experiment, FlatExperiment, parse_value
from sweeps.engine.plans.bisect import bisect_plan
from sweeps.engine.plans.factor import Factor, Preset, Selection, absolute_paths, absolute_value
from sweeps.engine.plans.names import EARLY_STOPS
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
    settings, _ = split_ranges(options.set)
    wrong = next((key for key in settings if not key.startswith(("training.epochs", "training.images"))), None)
    if wrong is not None:
        raise MemosweepError(f"--extend with --set {wrong}: only training.epochs or training.images can grow")
    if options.preset not in ("auto", stored.preset):
        raise MemosweepError(f"--extend with --preset {options.preset}: the run has the preset {stored.preset}")
    if isinstance(stored.search, OptunaOptions) and (options.values or options.sizes or settings):
        raise MemosweepError("--extend of an Optuna search takes --trials alone")
    if stored.selection is None:
        raise MemosweepError(f"--extend {options.extend}: its sweep.json does not say what was selected")
    selection = stored.selection.extended(_selection(factor, options, stored.preset, settings))
    search = stored.search
    if isinstance(search, OptunaOptions):
        search = _typed(OptunaOptions, **{**dict(search), "num_trials": options.trials or search.num_trials})
        spans = {key: span for key, span in search.space.items() if key != factor.key}
        return optuna_plan(factor, stored.selection, spans, search)
    if isinstance(search, EMMSearchOptions):
        return bisect_plan(factor, selection, _typed(EMMSearchOptions, **{**dict(search), **_typed_search(options)}))
    return grid_plan(factor, selection)


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
