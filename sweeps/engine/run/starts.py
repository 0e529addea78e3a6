"""The ways to start a sweep: a new run, one resumed, one extended; each checks all that it can before Ray starts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.results.store import is_local, join_url
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.files import check_output_folder
from memo_core.model.precision import emulation_note
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.cluster.machines.hardware import describe_nodes
from sweeps.engine.cluster.machines.resources import Resources, check_holds
from sweeps.engine.plans.checks import check_networks
from sweeps.engine.plans.data_checks import check_data
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import Limits, Manifest, describe_run
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.plans.optuna import probes_of
from sweeps.engine.plans.plan import OptunaOptions, Plan
from sweeps.engine.run import folder
from sweeps.engine.run.continuation import continued, trained_again
from sweeps.engine.run.ending.going_on import GoingOn
from sweeps.engine.run.ending.settled import conclude_settled, is_covered
from sweeps.engine.run.runner import go_on
from sweeps.engine.tune.trial.trial_folder import continue_folder, read_records


def start_sweep(
    factor: Factor,
    plan: Plan,
    resources: Resources,
    storage: str,
    name: str | None,
    limits: Limits,
    reuse: Sequence[str] = (),
    share: Callable[[ray_session.Cluster], Resources] | None = None,
    going_on: GoingOn = GoingOn(),  # noqa: B008 (frozen)
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
        going_on: how the user goes on with the run where it is interrupted.

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
    wanted = name or f"{factor.name}-{datetime.now():%Y%m%d-%H%M%S}"
    manifest = describe_run(plan, resources, limits, images=images)
    if is_covered(factor, manifest, join_url(storage, wanted), reuse):
        run_path = join_url(storage, name or folder.claim_name(storage, wanted))
        with folder.only_driver(run_path):
            folder.refuse_existing(run_path)  # another start may have been faster
            manifest.write(run_path)
        status = conclude_settled(factor, manifest, plan, run_path, going_on, reuse)
        assert status is not None
        return status
    _say_what_is_slow([*plan.trials, *plan.probes], resources)
    # Before the folder is made: without Ray there is no run.
    cluster = _start_ray()
    if share is not None:
        resources = share(cluster)
    name = name or folder.claim_name(storage, wanted)
    run_path = join_url(storage, name)
    manifest = describe_run(plan, resources, limits, describe_nodes(), images)
    with folder.only_driver(run_path) as still_held:
        folder.refuse_existing(run_path)  # another start may have been faster
        manifest.write(run_path)
        return go_on(factor, manifest, run_path, limits, reuse, still_held, going_on)


def resume_sweep(
    factor: Factor,
    storage: str,
    name: str | None,
    changed: Mapping[str, Any],
    reuse: Sequence[str] = (),
    going_on: GoingOn = GoingOn(),  # noqa: B008 (frozen)
) -> int:
    """Finish an interrupted run; for a finished one there is `conclude_settled`.

    Args:
        factor: of the run.
        storage: folder or URL that the run lies in.
        name: of the run; None takes the latest of the factor.
        changed: limits that differ from those of its start.
        reuse: as for `go_on`.
        going_on: how the user goes on with the run where it is interrupted.

    Raises:
        MemosweepError: there is no such run, its images are others now, or another process is at it.
    """
    storage = folder.absolute(storage)
    name = name or folder.latest_run(storage, factor.name)
    run_path = join_url(storage, name)
    manifest = folder.read_run(factor, run_path)
    with folder.only_driver(run_path) as still_held:
        trials = _to_check(factor, manifest.plan)
        check_networks(trials)
        check_images(manifest, check_data(trials))
        print(f"resuming {run_path}", flush=True)
        _say_what_is_slow(trials, manifest.resources)
        check_holds(_start_ray(), manifest.resources)
        manifest = manifest.started_again(describe_nodes())
        manifest.write(run_path)
        # Where a start that extended the run was killed amid it.
        _continue_folders(run_path, manifest.plan)
        return go_on(factor, manifest, run_path, limits_of(manifest, changed), reuse, still_held, going_on)


def extend_sweep(
    factor: Factor,
    plan: Plan,
    storage: str,
    name: str,
    changed: Mapping[str, Any],
    reuse: Sequence[str] = (),
    going_on: GoingOn = GoingOn(),  # noqa: B008 (frozen)
) -> int:
    """Train what a larger plan has beyond a run, in the run's folder.

    Raises:
        MemosweepError: there is no such run, its images are others now, or another process is at it.
    """
    run_path = join_url(folder.absolute(storage), name)
    before = folder.read_run(factor, run_path)
    plan = plan.with_absolute_paths()
    with folder.only_driver(run_path) as still_held:
        check_images(before, check_data(_to_check(factor, before.plan)))
        images = check_data(_to_check(factor, plan))
        print(f"extending {run_path}", flush=True)
        _say_what_is_slow(_to_check(factor, plan), before.resources)
        for line in trained_again(run_path, read_records(run_path), plan):
            print(line, flush=True)
        check_holds(_start_ray(), before.resources)
        limits = limits_of(before, changed)
        manifest = before.model_copy(update={"plan": plan, "images": {**before.images, **images}})
        manifest = manifest.started_again(describe_nodes())
        manifest.write(run_path)
        _continue_folders(run_path, plan)
        return go_on(factor, manifest, run_path, limits, reuse, still_held, going_on)


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


def _continue_folders(run_path: str, plan: Plan) -> None:
    """Let trials with a longer budget go on in the folders of those that differ from them in nothing else."""
    for record, flat in continued(read_records(run_path), plan):
        continue_folder(run_path, record.folder, trial_directory(flat, plan.varied))


def _say_what_is_slow(trials: Sequence[Experiment], resources: Resources) -> None:
    """Say that trials on CPUs emulate their precision, as far as the processor of this machine shows it."""
    if resources.get("gpu", 0):
        return
    notes = (emulation_note(precision, "cpu") for precision in {trial.training.precision for trial in trials})
    for note in filter(None, notes):
        print(f"note: {note}", flush=True)


def _start_ray() -> ray_session.Cluster:
    """Ray takes seconds to start, half a minute on a busy machine."""
    if ray_session.is_joined():
        return ray_session.start()
    print("starting Ray ...", flush=True)
    cluster = ray_session.start()
    if cluster.dashboard is not None:
        print(f"Ray's dashboard: {cluster.dashboard}", flush=True)
    return cluster
