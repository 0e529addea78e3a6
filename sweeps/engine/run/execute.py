"""What a sweep's command line asks for, done: a dry run, a new run, or one that goes on."""

import argparse
import contextlib
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from analysis.results.store import is_local, join_url
from memo_core.errors import MemosweepError
from memo_core.experiment import FlatExperiment
from memo_core.files import check_output_folder
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.cluster.machines.resources import Resources, trial_resources
from sweeps.engine.plans.checks import check_networks
from sweeps.engine.plans.factor import Factor, Preset, family_of
from sweeps.engine.plans.manifest import Limits, Manifest
from sweeps.engine.plans.names import AUTO
from sweeps.engine.plans.plan import Plan
from sweeps.engine.run.ending.going_on import GoingOn
from sweeps.engine.run.planning.dry_run import Estimate, dry_run
from sweeps.engine.run.planning.options import described, extended_plan, plan_of

# ruff: noqa: PLC0415 - what starts a sweep takes seconds to import, which a dry run need not wait for


def execute(factor: Factor, options: argparse.Namespace) -> int:
    """Run what the checked options ask for; returns the exit code."""
    ray_session.fix_data_root()
    changed = {name: value for name in Limits.model_fields if (value := getattr(options, name)) is not None}
    reuse = runs_of(options.reuse)
    going_on = GoingOn.of(options)
    if (options.resume or options.extend is not None) and not options.dry_run:
        status = _settled(factor, options, going_on, reuse)
        if status is not None:
            return status
    ray_session.choose(options.address, options.max_gpus)
    cluster = ray_session.look()
    if not options.dry_run:
        if not options.auto_resume:  # which may need no Ray
            print(cluster.headline, flush=True)
        _check_place(options, cluster)
        if options.logger:
            from sweeps.engine.tune.loggers import check_loggers

            check_loggers(options.logger)
    if options.resume:
        from sweeps.engine.run.starts import resume_sweep

        return resume_sweep(factor, options.storage_path, options.name, changed, reuse, going_on)
    if options.extend is not None:
        return _extend(factor, options, changed, reuse, going_on)
    preset, packed = preset_of(options, cluster), options.gpus_per_trial == AUTO
    if options.dry_run:
        options.set += _settings_of_images(factor, options, preset)
        return _print_trials(factor, _checked_plan(factor, options, preset), options, cluster)
    resources = trial_resources(cluster, None if packed else options.gpus_per_trial, options.cpus_per_trial)
    options.set += _settings_of_images(factor, options, preset)
    plan = _checked_plan(factor, options, preset)
    about = described(factor, plan)
    print(why_preset(options, preset, cluster), flush=True)
    if about is not None:
        print(about, flush=True)
    if options.auto_resume and is_begun(factor, plan, options):
        status = _settled(factor, options, going_on, reuse)
        if status is not None:
            return status
        from sweeps.engine.run.starts import resume_sweep

        print(cluster.headline, flush=True)
        return resume_sweep(factor, options.storage_path, options.name, changed, reuse, going_on)
    from sweeps.engine.run.starts import start_sweep

    if options.auto_resume:
        print(cluster.headline, flush=True)
    share = partial(_packed, plan, options.cpus_per_trial) if packed and resources["gpu"] else None
    limits = Limits(**changed)
    return start_sweep(factor, plan, resources, options.storage_path, options.name, limits, reuse, share, going_on)


def _checked_plan(factor: Factor, options: argparse.Namespace, preset: Preset) -> Plan:
    plan = plan_of(factor, options, preset)
    check_networks([*plan.trials, *plan.probes])
    return plan


def _print_trials(factor: Factor, plan: Plan, options: argparse.Namespace, cluster: ray_session.Cluster) -> int:
    """Do a dry run of a new run."""
    packed = options.gpus_per_trial == AUTO
    wanted = None if packed else options.gpus_per_trial
    # A dry run describes a run wherever it may be: GPUs that are requested count as there.
    gpus = wanted or 0
    requested = math.ceil(gpus) if math.isfinite(gpus) else 0
    if requested > cluster.gpus:
        cluster = ray_session.Cluster(cluster.cpus, requested, cluster.description)
    resources = trial_resources(cluster, wanted, options.cpus_per_trial)
    about = described(factor, plan)
    if about is not None:
        # Standard output of a dry run is for the trials alone.
        print(f"{about}{'; the first trainings:' if plan.search.kind == 'bisect' else ''}", file=sys.stderr)
    if packed:
        print("--gpus-per-trial auto: the share is measured when the sweep starts", file=sys.stderr)
    dry_run(factor, plan, resources, cluster.capacity.at_once(resources), estimate=_estimate(options))
    return 0


def preset_of(options: argparse.Namespace, cluster: ray_session.Cluster) -> Preset:
    """Return the preset of `--preset`; `auto` takes the paper's studies where there are GPUs."""
    preset: Preset = options.preset if options.preset != "auto" else "paper" if cluster.gpus else "laptop"
    return preset


def why_preset(options: argparse.Namespace, preset: Preset, cluster: ray_session.Cluster) -> str:
    """Return in one line which preset is taken, and why."""
    other = "laptop is the small study" if family_of(preset) == "paper" else "paper is the published study"
    reason = "as requested" if options.preset == preset else f"since {cluster.description}; --preset {other}"
    return f"preset {preset}, {reason}"


def _packed(plan: Plan, cpus_per_trial: float | None, cluster: ray_session.Cluster) -> Resources:
    """Return the resources of trials that share GPUs, by a measurement on one of the cluster's."""
    from sweeps.engine.cluster.machines.packing import find_sharing

    whole = trial_resources(cluster, 1.0, None)
    print("measuring how many trials a GPU holds ...", flush=True)
    trials = [*plan.trials, *plan.probes]
    share, why = find_sharing(trials, int(whole["cpu"]), cluster.gpus, plan.total)
    print(f"--gpus-per-trial {share:g}: {why}", flush=True)
    return trial_resources(cluster, share, cpus_per_trial)


def _estimate(options: argparse.Namespace) -> Estimate | None:
    return Estimate(options.images_per_second) if options.estimate else None


def _settings_of_images(factor: Factor, options: argparse.Namespace, preset: Preset) -> list[str]:
    """Return what `--data`, or images that cannot be had, add to `--set`."""
    from sweeps.engine.run.planning.own_images import instead_of_cifar10, own_images_settings, settings_of

    begun: Plan | None = None
    if options.auto_resume:
        from sweeps.engine.run import folder

        if folder.exists(_run_path(options)):
            begun = folder.read_run(factor, _run_path(options)).plan
    if options.data is None:
        return [] if options.dry_run and begun is None else instead_of_cifar10(factor, options, preset, begun)
    if begun is not None:
        # What a calibration found may come out otherwise now.
        return settings_of(begun)
    return own_images_settings(factor, options, preset, partial(_check_start, factor, options, preset))


def _check_start(factor: Factor, options: argparse.Namespace, preset: Preset, chosen: FlatExperiment) -> None:
    """Refuse what could not start whatever a calibration finds; with the preset's own rate and budget meanwhile."""
    from sweeps.engine.plans.data_checks import check_data

    typed = [*options.set, *(f"{key}={value}" for key, value in chosen.items())]
    plan = _checked_plan(factor, argparse.Namespace(**{**vars(options), "set": typed}), preset).with_absolute_paths()
    check_data([*plan.trials, *plan.probes])


def _check_place(options: argparse.Namespace, cluster: ray_session.Cluster) -> None:
    from sweeps.engine.run import folder
    from sweeps.engine.run.storage import check_storage

    storage = folder.absolute(options.storage_path)
    if is_local(storage):
        check_output_folder(Path(storage), "--storage-path")
    if options.name is not None:
        folder.check_name(storage, options.name)
        if not (options.resume or options.auto_resume):
            folder.refuse_existing(join_url(storage, options.name))
    check_storage(storage, cluster, options.shared_storage)


def _settled(factor: Factor, options: argparse.Namespace, going_on: GoingOn, reuse: Sequence[str]) -> int | None:
    """End at once, without Ray, where a run to resume or extend has nothing left to train; None where it has."""
    from sweeps.engine.run import folder
    from sweeps.engine.run.ending.settled import conclude_settled

    storage = folder.absolute(options.storage_path)
    if options.name is not None:
        folder.check_name(storage, options.name)
    run_path = join_url(storage, options.extend or options.name or folder.latest_run(storage, factor.name))
    manifest = folder.read_run(factor, run_path)
    plan = manifest.plan
    if options.extend is not None:
        plan = extended_plan(factor, options, plan).with_absolute_paths()
    return conclude_settled(factor, manifest, plan, run_path, going_on, reuse)


def _extend(
    factor: Factor, options: argparse.Namespace, changed: dict[str, Any], reuse: Sequence[str], going_on: GoingOn
) -> int:
    from sweeps.engine.run import folder
    from sweeps.engine.run.known import KnownTrials

    run_path = join_url(folder.absolute(options.storage_path), options.extend)
    manifest = folder.read_run(factor, run_path)
    plan = extended_plan(factor, options, manifest.plan)
    check_networks([*plan.trials, *plan.probes])
    if options.dry_run:
        from sweeps.engine.run.continuation import trained_again

        known = KnownTrials(run_path, manifest, {})
        for line in trained_again(run_path, known.records, plan):
            print(line, file=sys.stderr)
        dry_run(factor, plan, manifest.resources, 1, lambda trial: known.result(trial) is None, _estimate(options))
        return 0
    from sweeps.engine.run.starts import extend_sweep

    return extend_sweep(factor, plan, options.storage_path, options.extend, changed, reuse, going_on)


def runs_of(paths: list[str]) -> list[str]:
    """Return those paths that are runs: a shell's `results/*` gives others too.

    Raises:
        MemosweepError: none of them is a run, or one is damaged.
    """
    if not paths:
        return []
    from sweeps.engine.run import folder

    paths = [folder.absolute(path) for path in paths]
    runs = []
    for path in paths:
        with contextlib.suppress(MemosweepError):
            runs += [path] if folder.exists(path) else []
    for path in runs or paths[:1]:
        Manifest.read(path)
    return runs


def _run_path(options: argparse.Namespace) -> str:
    from sweeps.engine.run import folder

    return join_url(folder.absolute(options.storage_path), options.name)


def is_begun(factor: Factor, plan: Plan, options: argparse.Namespace) -> bool:
    """Return whether the run of `--name` exists.

    Raises:
        MemosweepError: it does, and was begun with other options; says which differ.
    """
    from sweeps.engine.run import folder
    from sweeps.engine.run.planning.differences import difference, option_difference

    run_path = _run_path(options)
    if not folder.exists(run_path):
        return False
    manifest = folder.read_run(factor, run_path)
    typed_plan = plan.with_absolute_paths()
    found = option_difference(manifest.plan, typed_plan)
    found = found or difference(manifest.plan.model_dump(mode="json"), typed_plan.model_dump(mode="json"))
    cpus, gpus = (manifest.resources.get(name, 0.0) for name in ("cpu", "gpu"))
    for option, begun, typed in (
        ("--cpus-per-trial", cpus, options.cpus_per_trial),
        ("--gpus-per-trial", gpus, None if options.gpus_per_trial == AUTO else options.gpus_per_trial),
    ):
        # Left out, it is what the run has, whatever this machine would give.
        found = found or (None if typed is None else difference(begun, typed, option))
    if found is not None:
        advice = (
            f"--resume finishes it as it was begun, --extend {options.name} adds values, sizes, repeats or a longer "
            "budget, another --name starts anew"
        )
        raise MemosweepError(f"--auto-resume: {run_path} was begun with other options: {found}; {advice}")
    return True
