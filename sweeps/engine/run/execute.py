"""What a sweep's command line asks for, done: a dry run, a new run, or a run resumed."""

import argparse
import json
import math
import sys
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from analysis.results.store import join_url
from memo_core.errors import MemosweepError, quoted
from memo_core.experiment import Experiment, FlatExperiment, parse_value
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.cluster.resources import trial_resources
from sweeps.engine.plans.bisect import bisect_plan
from sweeps.engine.plans.checks import check_networks
from sweeps.engine.plans.factor import Factor, Preset, Selection, absolute_paths, absolute_value
from sweeps.engine.plans.manifest import FILE as MANIFEST
from sweeps.engine.plans.manifest import Limits, Manifest
from sweeps.engine.plans.names import EARLY_STOPS
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import EMMSearchOptions, OptunaOptions, Plan, grid_plan
from sweeps.engine.plans.ranges import split_ranges
from sweeps.engine.run import folder
from sweeps.engine.run.starts import difference, extend_sweep, read_run, resume_sweep, start_sweep
from sweeps.engine.search.build import searcher_of

Options = TypeVar("Options", bound=BaseModel)


def execute(factor: Factor, options: argparse.Namespace) -> int:
    """Run what the checked options ask for; returns the exit code."""
    ray_session.fix_data_root()
    changed = {name: value for name in Limits.model_fields if (value := getattr(options, name)) is not None}
    reuse = [folder.absolute(run) for run in options.reuse]
    for run in reuse:
        Manifest.read(run)  # found missing here, and not when it is needed
    if options.resume:
        return resume_sweep(factor, options.storage_path, options.name, changed, reuse)
    if options.extend is not None:
        plan = _extended_plan(factor, options)
        check_networks([*plan.trials, *plan.probes])
        return extend_sweep(factor, plan, options.storage_path, options.extend, changed, reuse)
    cluster = ray_session.look()
    preset: Preset = options.preset if options.preset != "auto" else "paper" if cluster.gpus else "laptop"
    plan = _plan(factor, options, preset)
    check_networks([*plan.trials, *plan.probes])
    # Standard output of a dry run is for the trials alone.
    notes = sys.stderr if options.dry_run else sys.stdout
    if options.dry_run:
        # A dry run describes a run wherever it may be: GPUs that are requested count as there.
        gpus = options.gpus_per_trial or 0
        requested = math.ceil(gpus) if math.isfinite(gpus) else 0
        cluster = ray_session.Cluster(cluster.cpus, max(cluster.gpus, requested), cluster.description)
    resources = trial_resources(cluster, options.gpus_per_trial, options.cpus_per_trial)
    if not options.dry_run:
        other = "laptop is the small study" if preset == "paper" else "paper is the published study"
        reason = "as asked" if options.preset == preset else f"since {cluster.description}; --preset {other}"
        print(f"preset {preset}, {reason}", flush=True)
    if isinstance(plan.search, OptunaOptions):
        print(_searched_study(factor, plan.search, plan.trials[0], preset), file=notes, flush=True)
    if isinstance(plan.search, EMMSearchOptions):
        more = "; the first trainings:" if options.dry_run else ""
        print(f"{_emm_search(plan.search, len(plan.trials))}{more}", file=notes, flush=True)
    if options.dry_run:
        at_once = cluster.gpus / resources["gpu"] if resources["gpu"] else cluster.cpus / resources["cpu"]
        for trial in _first_trials(factor, plan, int(at_once)):
            print(json.dumps({"config": trial, "resources": resources}))
        return 0
    if options.auto_resume and _is_begun(factor, plan, options):
        return resume_sweep(factor, options.storage_path, options.name, changed, reuse)
    return start_sweep(factor, plan, resources, options.storage_path, options.name, Limits(**changed), reuse)


def _is_begun(factor: Factor, plan: Plan, options: argparse.Namespace) -> bool:
    """Return whether the run of `--name` exists.

    Raises:
        MemosweepError: it does, and was begun with other options; says which differ.
    """
    run_path = join_url(folder.absolute(options.storage_path), options.name)
    if not folder.exists(run_path):
        return False
    stored = read_run(factor, run_path).plan
    found = difference(stored.model_dump(mode="json"), plan.with_absolute_paths().model_dump(mode="json"))
    if found is not None:
        raise MemosweepError(f"--auto-resume: {run_path} was begun with other options: {found}")
    return True


def _extended_plan(factor: Factor, options: argparse.Namespace) -> Plan:
    """Return the plan of a run with what these options add.

    Raises:
        MemosweepError: there is no such run, or an option changes what has been trained already.
    """
    stored = read_run(factor, join_url(folder.absolute(options.storage_path), options.extend)).plan
    settings, _ = split_ranges(options.set)
    wrong = next((key for key in settings if not key.startswith(("training.epochs", "training.images"))), None)
    if wrong is not None:
        raise MemosweepError(f"--extend with --set {wrong}: only training.epochs or training.images can grow")
    if stored.selection is None:
        raise MemosweepError(f"--extend {options.extend}: its {MANIFEST} does not say what was selected")
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


def _plan(factor: Factor, options: argparse.Namespace, preset: Preset) -> Plan:
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


def _first_trials(factor: Factor, plan: Plan, at_once: int) -> list[FlatExperiment]:
    """Return all trials of a grid; of a search, those that it would start with."""
    searcher = searcher_of(factor, plan)
    count = len(plan.trials) if plan.search.kind == "grid" else max(1, at_once)
    suggested = [searcher.suggest(str(index)) for index in range(count)]
    return [trial for trial in suggested if isinstance(trial, dict)]
