"""Write the job file that a sweep's command line asks for, after every check that its start would make."""

import argparse
import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from analysis.results.store import is_local, join_url
from memo_core.errors import MemosweepError, first_line, quoted
from memo_core.files import check_output_folder, write_atomically
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.cluster.machines.capacity import Capacity, Nodes
from sweeps.engine.cluster.machines.resources import trial_resources
from sweeps.engine.cluster.session import Cluster
from sweeps.engine.plans.checks import check_networks
from sweeps.engine.plans.factor import Factor, Preset
from sweeps.engine.plans.manifest import Limits, describe_run
from sweeps.engine.plans.names import AUTO, trial_directory
from sweeps.engine.plans.plan import Plan
from sweeps.engine.run import folder
from sweeps.engine.run.execute import is_begun, preset_of, runs_of, why_preset
from sweeps.engine.run.folder import read_run
from sweeps.engine.run.planning.options import extended_plan, plan_of
from sweeps.engine.run.storage import check_storage
from sweeps.engine.slurm.request import Request, typed_without_slurm
from sweeps.engine.slurm.script import MARK, Job, array_job, sweep_job
from sweeps.engine.tune.loggers import check_loggers

_ANSWER_SECONDS = 10.0
_PROBE = "#!/bin/bash\n#SBATCH --requeue\ntrue\n"
"""A job by which to see whether Slurm answers at all."""
_UNREACHABLE = re.compile(r"configuration source|unable to contact|connection refused|timed out", re.IGNORECASE)
"""What `sbatch` says where it finds no controller."""
_FILE = re.compile(r"[\w./+=,@~-]+")
_MAX_FILE_BYTES = 4 * 2**20
"""Of a script, by Slurm's own default."""


def write_job(factor: Factor, options: argparse.Namespace) -> int:
    """Write the job file of `--slurm` or `--slurm-array`, and print how to submit it.

    Args:
        factor: what is studied.
        options: checked (`request.check_options`).

    Returns:
        The exit code, 0.

    Raises:
        MemosweepError: anything that would end the sweep at its start; there is no Slurm; or Slurm refuses the job.
    """
    option, typed = ("--slurm", options.slurm) if options.slurm is not None else ("--slurm-array", options.slurm_array)
    request = Request.of(options.sbatch)
    file = _job_file(option, typed)
    if shutil.which("sbatch") is None:
        raise MemosweepError(
            f"{option} {typed}: there is no Slurm here (sbatch is not on PATH), write the job on a login node"
        )
    # Before all that takes time; whether it would take such a job does not matter.
    _, complaint = _asked(option, typed, _PROBE)
    if _UNREACHABLE.search(complaint):
        raise MemosweepError(f"{option} {typed}: Slurm does not answer ({_reason(complaint)})")
    ray_session.fix_data_root()
    storage = folder.absolute(options.storage_path)
    if options.name is not None:
        folder.check_name(storage, options.name)
    runs_of([folder.absolute(run) for run in options.reuse])
    # A task of an array has what its trial has.
    trial = (0.0, None) if options.slurm is not None else (options.gpus_per_trial or 0.0, options.cpus_per_trial)
    cluster = _cluster(request, *trial)
    check_storage(storage, cluster)
    if is_local(storage):
        check_output_folder(Path(storage), "--storage-path")
    write = _sweep if options.slurm is not None else _array
    text, what = write(factor, options, request, cluster, storage, lambda name: _job(file, request, name))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode())
    if request.cpus == 1 and "cpus-per-task" not in request.options and options.cpus_per_trial is None:
        print("the job asks for one CPU on a node; --sbatch cpus-per-task=N asks for more", flush=True)
    print(f"{what}; submit it with: sbatch {typed}", flush=True)
    return 0


def _sweep(
    factor: Factor,
    options: argparse.Namespace,
    request: Request,
    cluster: Cluster,
    storage: str,
    job: Callable[[str], Job],
) -> tuple[str, str]:
    """Return the text of a sweep's job, and what to say of it."""
    # Not what `options` were read from: some scripts have options of their own, and take them out before.
    line = typed_without_slurm(sys.argv[1:])
    if options.resume or options.extend is not None:
        name = options.extend or options.name or folder.latest_run(storage, factor.name)
        plan = read_run(factor, join_url(storage, name)).plan
        if options.extend is not None:
            plan = extended_plan(factor, options, plan)
        further = ["--name", name] if options.resume and options.name is None else []
    else:
        preset, plan = _new_plan(factor, options, cluster)
        # What fits on a GPU is measured where the job runs.
        gpus = None if options.gpus_per_trial == AUTO else options.gpus_per_trial
        trial_resources(cluster, gpus, options.cpus_per_trial)
        name = _name(factor, options, plan, storage)
        further = [*(["--preset", preset] if options.preset == "auto" else [])]
        further += [] if options.auto_resume else ["--auto-resume"]
        further += [] if options.name is not None else ["--name", name]
    check_loggers(options.logger or ())
    _check(plan)

    def text(made: Job) -> str:
        return sweep_job(made, Path(sys.argv[0]).absolute(), [*line, *further], request.nodes)

    script = text(job(name))
    _test("--slurm", options.slurm, script)
    where = "one node" if request.nodes == 1 else f"{request.nodes} nodes"
    return script, f"a job on {where} for the run {join_url(storage, name)}"


def _array(
    factor: Factor,
    options: argparse.Namespace,
    request: Request,
    cluster: Cluster,
    storage: str,
    job: Callable[[str], Job],
) -> tuple[str, str]:
    """Begin a run, and return the text of the job that trains its trials, and what to say of it."""
    if not is_local(storage):
        raise MemosweepError(f"--slurm-array with --storage-path {storage}: expected a folder that all nodes share")
    _, plan = _new_plan(factor, options, cluster)
    optimum = next((trial for trial in plan.trials if trial.model.architecture == "optimum"), None)
    if optimum is not None:
        raise MemosweepError("--slurm-array with model.architecture = optimum: nothing is trained there, run it here")
    resources = trial_resources(cluster, options.gpus_per_trial, options.cpus_per_trial)
    plan = plan.with_absolute_paths()
    images = _check(plan)
    name = _name(factor, options, plan, storage)
    run_path = Path(join_url(storage, name))
    trials = {trial_directory(trial.to_flat(), plan.varied): trial for trial in plan.trials}
    made = job(name)
    own = {"gpus-per-node": "1"} if options.gpus_per_trial == 1 else {}
    if options.cpus_per_trial is not None:
        own["cpus-per-task"] = f"{options.cpus_per_trial:g}"
    made = Job(made.file, made.name, made.folder, made.python, {**made.directives, **own})
    every = (
        Limits.model_fields["checkpoint_every"].default
        if options.checkpoint_every is None
        else options.checkpoint_every
    )
    script = array_job(
        made,
        run_path,
        trials,
        "cuda" if resources["gpu"] else "cpu",
        options.max_concurrent,
        ["--checkpoint-every", f"{every:g}s"],
    )
    _test("--slurm-array", options.slurm_array, script)
    with folder.only_driver(str(run_path)):
        if not folder.exists(str(run_path)):
            folder.refuse_existing(str(run_path))
            describe_run(plan, resources, Limits(checkpoint_every=every), images=images).write(str(run_path))
    count = "1 task" if len(trials) == 1 else f"{len(trials)} tasks"
    return script, f"an array of {count} for the run {run_path}"


def _new_plan(factor: Factor, options: argparse.Namespace, cluster: Cluster) -> tuple[Preset, Plan]:
    preset = preset_of(options, cluster)
    print(why_preset(options, preset, cluster), flush=True)
    return preset, plan_of(factor, options, preset)


def _check(plan: Plan) -> dict[str, str]:
    """Check networks and data here, where people see it; what is downloaded is then there for the job."""
    from sweeps.engine.plans.data_checks import check_data  # noqa: PLC0415 (loads torch)

    trials = [*plan.trials, *plan.probes]
    check_networks(trials)
    return check_data(trials)


def _name(factor: Factor, options: argparse.Namespace, plan: Plan, storage: str) -> str:
    """Return the name of a run that is new, or was begun with these options."""
    if options.name is None:
        return f"{factor.name}-{datetime.now():%Y%m%d-%H%M%S}"
    if not is_begun(factor, plan, options):
        folder.refuse_existing(join_url(storage, options.name))
    return str(options.name)


def _cluster(request: Request, gpus_of_task: float, cpus_of_task: float | None) -> Cluster:
    """Return what the job will have, as far as it says so.

    Args:
        request: of the job.
        gpus_of_task: what a task of an array asks for by `--gpus-per-trial`.
        cpus_of_task: likewise by `--cpus-per-trial`.
    """
    gpus = max(request.gpus, int(gpus_of_task))
    cpus = cpus_of_task or (math.inf if request.cpus is None else request.cpus)
    nodes = Nodes(cpus, gpus, request.nodes)
    capacity = Capacity([nodes])
    asked = f"{capacity.gpus} GPUs" if gpus else "no GPUs (--sbatch gpus-per-node=N)"
    return Cluster(capacity.cpus, capacity.gpus, f"the job asks for {asked}", by_nodes=capacity)


def _job(file: Path, request: Request, name: str) -> Job:
    # Of a virtual environment it is the link that matters, not Python itself.
    return Job(file, name, Path.cwd(), Path(sys.executable).absolute(), request.options)


def _job_file(option: str, typed: str) -> Path:
    """Return the absolute path of a job file that may be written."""
    file = Path(typed).expanduser().absolute()
    if not _FILE.fullmatch(str(file)) or not typed or typed.endswith("/"):
        raise MemosweepError(f"{option} {quoted(typed)}: expected a file, by a path of letters, digits and ./_+=,@~-")
    if file.is_dir():
        raise MemosweepError(f"{option} {typed}: is a folder, expected a file such as {typed.rstrip('/')}/job.sbatch")
    if file.exists() and MARK not in file.read_text(errors="replace")[:1000]:
        raise MemosweepError(f"{option} {typed}: is a file of something else, name another")
    there = next(path for path in file.parents if path.exists())
    check_output_folder(there, option)
    return file


def _test(option: str, typed: str, script: str) -> None:
    """Have Slurm itself check a job, without submitting it.

    Raises:
        MemosweepError: it refuses it, or does not answer.
    """
    if len(script.encode()) > _MAX_FILE_BYTES:
        raise MemosweepError(f"{option} {typed}: {len(script.encode()):,} bytes, Slurm takes {_MAX_FILE_BYTES:,}; "
                             "select fewer trials")  # fmt: skip
    code, complaint = _asked(option, typed, script)
    if code:
        raise MemosweepError(f"{option} {typed}: Slurm refuses the job ({_reason(complaint)})")


def _reason(complaint: str) -> str:
    """Return the line of what `sbatch` wrote to stderr that says why."""
    # What is wrong with an option is followed by where to read on.
    lines = [line for line in complaint.splitlines() if line.strip() and not line.startswith('Try "sbatch')]
    if not lines:
        return "no reason given"
    return re.sub(r"^(?:sbatch: |error: |fatal: |allocation failure: )+", "", lines[-1])


def _asked(option: str, typed: str, script: str) -> tuple[int, str]:
    """Have Slurm look at a job without submitting it; return its exit code and what it wrote to stderr.

    Raises:
        MemosweepError: `sbatch` cannot be run, or Slurm does not answer.
    """
    try:
        # In a group of its own: what a wrapper of sbatch started must not be waited for either.
        process = subprocess.Popen(
            ["sbatch", "--test-only"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise MemosweepError(f"{option} {typed}: sbatch cannot be run ({first_line(error)})") from None
    with process:
        try:
            _, complaint = process.communicate(script, timeout=_ANSWER_SECONDS)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            message = f"Slurm does not answer within {_ANSWER_SECONDS:g} s (sbatch --test-only), try again later"
            raise MemosweepError(f"{option} {typed}: {message}") from None
    return process.returncode, complaint
