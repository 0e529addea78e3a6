"""What a sweep's command line asks for, done: a dry run, a new run, or a run resumed."""

import argparse
import json
import math
import sys
from typing import Any, Literal

from memo_core.errors import MemosweepError
from memo_core.experiment import FlatExperiment, parse_value
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.cluster.resources import trial_resources
from sweeps.engine.plans.factor import Factor, Selection
from sweeps.engine.plans.optuna import OptunaOptions, optuna_plan
from sweeps.engine.plans.paths import absolute_paths, absolute_value, fix_data_root
from sweeps.engine.plans.plan import BisectOptions, Plan, bisect_plan, grid_plan
from sweeps.engine.plans.ranges import split_ranges
from sweeps.engine.plans.search_settings import BisectSettings, OptunaSettings
from sweeps.engine.run.data_check import check_networks
from sweeps.engine.run.runner import resume_sweep, start_sweep
from sweeps.engine.tune.tuner import searcher_of


def execute(factor: Factor, options: argparse.Namespace) -> int:
    """Run what the checked options ask for; returns the exit code."""
    fix_data_root()
    if options.resume:
        return resume_sweep(factor, options.storage_path, options.name)
    cluster = ray_session.look()
    preset, reason = _choose_preset(options.preset, cluster)
    plan = _plan(factor, options, preset)
    check_networks([*plan.trials, *plan.probes])
    if options.dry_run:
        # A dry run describes a run wherever it may be: GPUs that are asked for count as there.
        wished = math.ceil(options.gpus_per_trial or 0) if math.isfinite(options.gpus_per_trial or 0) else 0
        cluster = ray_session.Cluster(cluster.cpus, max(cluster.gpus, wished), cluster.description)
        resources = trial_resources(cluster, options.gpus_per_trial, options.cpus_per_trial)
        # Standard output is for the trials alone.
        if isinstance(plan.settings, OptunaSettings):
            print(_searched_study(factor, plan.settings, plan.trials[0], preset), file=sys.stderr)
        if isinstance(plan.settings, BisectSettings):
            print(f"{_sought(plan.settings)}; the first trainings:", file=sys.stderr)
        for trial in _first_trials(factor, plan, resources, cluster):
            print(json.dumps({"config": trial, "resources": resources}))
        return 0
    resources = trial_resources(cluster, options.gpus_per_trial, options.cpus_per_trial)
    print(f"preset {preset}, {reason}", flush=True)
    if isinstance(plan.settings, OptunaSettings):
        print(_searched_study(factor, plan.settings, plan.trials[0], preset), flush=True)
    if isinstance(plan.settings, BisectSettings):
        print(_sought(plan.settings), flush=True)
    return start_sweep(factor, plan, preset, resources, options.storage_path, options.name, options.max_failures)


def _choose_preset(wish: str, cluster: ray_session.Cluster) -> tuple[Literal["laptop", "paper"], str]:
    if wish == "paper":
        return "paper", "as asked"
    if wish == "laptop":
        return "laptop", "as asked"
    if cluster.gpus:
        return "paper", f"since {cluster.description}; --preset laptop is the small study"
    return "laptop", f"since {cluster.description}; --preset paper is the published study"


def _sought(settings: BisectSettings) -> str:
    """What an EMM search looks for, in one line."""
    count = len(settings.labels)
    used = [name.replace("_", " ") for name in ("early_success", "sequential_sampling") if getattr(settings, name)]
    return (
        f"searching the EMM of {count} value{'' if count == 1 else 's'}: the largest |D| from "
        f"{settings.min_size:,} to {settings.max_size:,} with a ratio of at least {settings.target:g}, "
        f"to {100 * settings.tolerance:g}%; {', '.join(used) or 'no early stops'}"
    )


def _searched_study(
    factor: Factor, settings: OptunaSettings, base: FlatExperiment, preset: Literal["laptop", "paper"]
) -> str:
    """What an Optuna search holds fixed, and how to choose otherwise, in one line."""
    figure, space = settings.figure, settings.space
    study = next(study for study in factor.studies(preset) if study.figure == figure)
    held = [key for key in ("data.size", *study.grid) if key not in space]
    fixed = [f"{key} = {base[key]}" for key in held]
    others = ["--figure"] if len(factor.studies(preset)) > 1 else []
    others += ["--sizes" if key == "data.size" else f"--set {key}" for key in held]
    name = figure if figure.startswith("Table") else f"figure {figure}"
    where = f" at {', '.join(fixed)}" if fixed else ""
    choose = f"; {', '.join(others)} choose otherwise" if others else ""
    return f"searching {name}{where}{choose}"


def _plan(factor: Factor, options: argparse.Namespace, preset: Literal["laptop", "paper"]) -> Plan:
    settings, ranges = split_ranges(options.set)
    selection = _selection(factor, options, preset, settings)
    if ranges and options.search != "optuna":
        raise MemosweepError(
            f"--set {next(iter(ranges))}=range(...) or choice(...): only --search optuna searches them"
        )
    if options.search == "optuna":
        return optuna_plan(
            factor,
            selection,
            ranges,
            OptunaOptions(
                **_given(num_trials=options.trials, direction=options.direction, asha=options.asha),
            ),
        )
    if options.search == "bisect":
        early = {
            name: options.protocol != "paper" if getattr(options, name) is None else getattr(options, name)
            for name in ("early_success", "sequential_sampling")
        }
        sought = _given(
            zeta=options.zeta, tolerance=options.tolerance, min_size=options.min_size, max_size=options.max_size
        )
        return bisect_plan(factor, selection, BisectOptions(**sought, **early))
    return grid_plan(factor, selection)


def _given(**options: Any) -> dict[str, Any]:
    """Options that the command line names; the others keep their defaults."""
    return {name: value for name, value in options.items() if value is not None}


def _selection(
    factor: Factor, options: argparse.Namespace, preset: Literal["laptop", "paper"], settings: dict[str, Any]
) -> Selection:
    if options.repeats > 1 and "seed" in settings:
        raise MemosweepError(
            f"--set seed={settings['seed']} with --repeats: the repeats are the seeds, give one of them"
        )
    return Selection(
        preset=preset,
        figures=options.figure,
        values=[absolute_value(factor.key, parse_value(factor.key, text)) for text in options.values],
        sizes=[parse_value("data.size", text) for text in options.sizes],
        settings=absolute_paths(settings),
        repeats=options.repeats,
    )


def _first_trials(
    factor: Factor, plan: Plan, resources: dict[str, float], cluster: ray_session.Cluster
) -> list[dict[str, Any]]:
    """All trials of a grid; of a search, those that it would start with."""
    if plan.search == "grid":
        return plan.trials
    at_once = int(cluster.gpus / resources["gpu"]) if resources["gpu"] else int(cluster.cpus / resources["cpu"])
    searcher = searcher_of(factor, plan)
    suggested = [searcher.suggest(f"dry-run-{index}") for index in range(max(1, at_once))]
    return [trial for trial in suggested if isinstance(trial, dict)]
