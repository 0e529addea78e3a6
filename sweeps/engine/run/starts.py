"""The ways to start a sweep: a new run, one resumed, one extended; each checks all that it can before Ray starts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.results.store import is_local, join_url
from memo_core.errors import MemosweepError, quoted
from memo_core.experiment import Experiment
from memo_core.files import check_output_folder
from memo_core.results import experiment_id
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.cluster.hardware import describe_nodes
from sweeps.engine.cluster.resources import Resources, check_holds
from sweeps.engine.plans.checks import check_networks
from sweeps.engine.plans.data_checks import check_data
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import Limits, Manifest, describe_run
from sweeps.engine.plans.names import trial_directory, without_budget
from sweeps.engine.plans.optuna import probes_of
from sweeps.engine.plans.plan import GridOptions, OptunaOptions, Plan
from sweeps.engine.run import folder
from sweeps.engine.run.runner import go_on
from sweeps.engine.tune.trial_folder import continue_folder, read_records


def start_sweep(
    factor: Factor,
    plan: Plan,
    resources: Resources,
    storage: str,
    name: str | None,
    limits: Limits,
    reuse: Sequence[str] = (),
    share: Callable[[ray_session.Cluster], Resources] | None = None,
) -> int:
    """Check everything that can be checked, then run all trials.

    Args:
        factor: what is studied.
        plan: of the run.
        resources: of one trial.
        storage: folder or URL that the run will lie in.
        name: of the run; None takes factor, date and time.
        limits: of this start.
        reuse: as for `go_on`.
        share: finds the resources on the cluster, by a measurement; None takes those that were given.

    Returns:
        The exit code: 0 done, 1 some trials failed, 130 interrupted.

    Raises:
        MemosweepError: bad data, an unwritable place, a run of this name that exists, or no Ray.
    """
    storage = folder.absolute(storage)
    if is_local(storage):
        check_output_folder(Path(storage), "--storage-path")
    if name is not None:
        folder.check_name(storage, name)
        folder.refuse_existing(join_url(storage, name))
    plan = plan.with_absolute_paths()
    images = check_data([*plan.trials, *plan.probes])
    # Before the folder is made: without Ray there is no run.
    cluster = _start_ray()
    if share is not None:
        resources = share(cluster)
    name = name or folder.claim_name(storage, f"{factor.name}-{datetime.now():%Y%m%d-%H%M%S}")
    run_path = join_url(storage, name)
    manifest = describe_run(plan, resources, limits, describe_nodes(), images)
    with folder.only_driver(run_path) as still_held:
        folder.refuse_existing(run_path)  # another start may have been faster
        manifest.write(run_path)
        return go_on(factor, manifest, run_path, limits, reuse, still_held)


def resume_sweep(
    factor: Factor, storage: str, name: str | None, changed: Mapping[str, Any], reuse: Sequence[str] = ()
) -> int:
    """Finish an interrupted run; of a finished one only the artifacts are written again.

    Args:
        factor: of the run.
        storage: folder or URL that the run lies in.
        name: of the run; None takes the latest of the factor.
        changed: limits that differ from those of its start.
        reuse: as for `go_on`.

    Raises:
        MemosweepError: there is no such run, its images are others now, or another process is at it.
    """
    storage = folder.absolute(storage)
    name = name or folder.latest_run(storage, factor.name)
    run_path = join_url(storage, name)
    manifest = read_run(factor, run_path)
    with folder.only_driver(run_path) as still_held:
        trials = _to_check(factor, manifest.plan)
        check_networks(trials)
        check_images(manifest, check_data(trials))
        print(f"resuming {run_path}", flush=True)
        check_holds(_start_ray(), manifest.resources)
        manifest = manifest.started_again(describe_nodes())
        manifest.write(run_path)
        # Where a start that extended the run was killed amid it.
        _continue_folders(run_path, manifest.plan)
        return go_on(factor, manifest, run_path, limits_of(manifest, changed), reuse, still_held)


def extend_sweep(
    factor: Factor, plan: Plan, storage: str, name: str, changed: Mapping[str, Any], reuse: Sequence[str] = ()
) -> int:
    """Train what a larger plan has beyond a run, in the run's folder.

    Raises:
        MemosweepError: there is no such run, its images are others now, or another process is at it.
    """
    run_path = join_url(folder.absolute(storage), name)
    before = read_run(factor, run_path)
    plan = plan.with_absolute_paths()
    with folder.only_driver(run_path) as still_held:
        check_images(before, check_data(_to_check(factor, before.plan)))
        images = check_data(_to_check(factor, plan))
        print(f"extending {run_path}", flush=True)
        check_holds(_start_ray(), before.resources)
        limits = limits_of(before, changed)
        manifest = before.model_copy(update={"plan": plan, "images": {**before.images, **images}})
        manifest = manifest.started_again(describe_nodes())
        manifest.write(run_path)
        _continue_folders(run_path, plan)
        return go_on(factor, manifest, run_path, limits, reuse, still_held)


def read_run(factor: Factor, run_path: str) -> Manifest:
    """Return the manifest of a run of a factor.

    Raises:
        MemosweepError: there is none, or it is a run of another factor.
    """
    manifest = Manifest.read(run_path)
    plan = manifest.plan
    if (plan.factor.name, plan.factor.key) != (factor.name, factor.key):
        raise MemosweepError(f"{run_path} is a run of {plan.factor.name} ({plan.factor.key}), not of {factor.name}")
    return manifest


def limits_of(manifest: Manifest, changed: Mapping[str, Any]) -> Limits:
    """Return the limits of a further start: those of the run, but for the time budget, which is that of one start."""
    return manifest.limits.model_copy(update={"time_budget": None, **changed})


def _to_check(factor: Factor, plan: Plan) -> list[Experiment]:
    """Return the experiments that a plan was checked by when it was made, which `sweep.json` has in part."""
    if not isinstance(plan.search, OptunaOptions):
        return list(plan.trials)
    return [*plan.trials, *probes_of(factor, plan.trials[0], plan.search.space)]


def check_images(manifest: Manifest, images: Mapping[str, str]) -> None:
    """Refuse to go on with other images than a run began with.

    Raises:
        MemosweepError: which source has changed.
    """
    for training_set, known in manifest.images.items():
        now = images.get(training_set, known)
        if now != known:
            raise MemosweepError(
                f"{training_set}: the images are not those of the run's start (SHA-256 of the pixels {now[:12]}..., "
                f"then {known[:12]}...): put those back, or start a new run"
            )


def difference(stored: Any, typed: Any, place: str = "") -> str | None:
    """Return where two plans differ first, with both values in words; None where they are equal."""
    if isinstance(stored, dict) and isinstance(typed, dict):
        for key in [*stored, *(key for key in typed if key not in stored)]:
            found = difference(stored.get(key), typed.get(key), f"{place}.{key}" if place else str(key))
            if found is not None:
                return found
        return None
    if isinstance(stored, list) and isinstance(typed, list) and len(stored) == len(typed):
        differences = (
            difference(one, other, f"{place}[{n}]") for n, (one, other) in enumerate(zip(stored, typed, strict=True))
        )
        return next((found for found in differences if found is not None), None)
    if stored == typed:
        return None
    if isinstance(stored, list) and isinstance(typed, list) and place == "trials":
        return f"it has {len(stored)} trials, these options give {len(typed)}"
    return f"its {place} is {quoted(stored)}, here it is {quoted(typed)}"


def _continue_folders(run_path: str, plan: Plan) -> None:
    """Let trials with a longer budget go on in the folders of those that differ from them in nothing else."""
    if not isinstance(plan.search, GridOptions):
        return  # its trials are templates, and each budget that was searched is a trial of its own
    records = read_records(run_path)
    wanted = {experiment_id(flat): flat for flat in (trial.to_flat() for trial in plan.trials)}
    free = {
        without_budget(record.result["config"]): record
        for trial_id, record in records.items()
        if record.rows and trial_id not in wanted
    }
    for trial_id, flat in wanted.items():
        record = free.pop(without_budget(flat), None) if trial_id not in records else None
        if record is not None:
            continue_folder(run_path, record.folder, trial_directory(flat, plan.varied))


def _start_ray() -> ray_session.Cluster:
    """Ray takes seconds to start, half a minute on a busy machine."""
    if ray_session.is_joined():
        return ray_session.start()
    print("starting Ray ...", flush=True)
    cluster = ray_session.start()
    if cluster.dashboard is not None:
        print(f"Ray's dashboard: {cluster.dashboard}", flush=True)
    return cluster
