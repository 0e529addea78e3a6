"""One run: a file is damaged, a command reads it, and what happened is recorded as one of `OUTCOMES`."""

import contextlib
import io
import json
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast
from unittest import mock

from benchmarks.fuzzing.containers import corrupt
from benchmarks.fuzzing.seeds import sweep_until_ray, tiny_experiment
from benchmarks.fuzzing.targets import TARGETS, Target

OUTCOMES = ("exit 0", "exit 2", "other exit", "silent", "traceback", "hang", "crash", "disagreement")
"""`silent`: exit 2 without a word; `crash`: the process died; `disagreement`: another end in a process of its own."""

GOOD = OUTCOMES[:2]
WAIT = 10
"""Times the seconds of computing: how long a run may take by the clock, on a busy machine."""

_MEMORY = 12 * 2**30


@dataclass(frozen=True)
class Run:
    """What happened to one damaged file."""

    target: str
    index: int
    outcome: str
    command: list[str]
    message: str
    """The last line that was printed on stderr, or the end of the traceback."""
    in_process: bool = True


class _HangError(BaseException):
    """The time is over; no code catches it by accident."""


def _alarm(_: int, __: FrameType | None) -> None:
    raise _HangError


def run_one(target: Target, index: int, seeds: Path, work: Path, seed: int, timeout: float, apart: bool) -> list[Run]:
    """Damage a copy of a seed file and read it, in this process; with `apart`, in a process of its own as well."""
    command, file = prepare(target, index, seeds, work, seed)
    outcome, message = _in_process(command, file, timeout)
    runs = [Run(target.name, index, outcome, command, message)]
    if apart and command[0] in ("memo_core", "analysis"):
        prepare(target, index, seeds, work, seed)
        found, message = _in_subprocess(command, timeout)
        agreed = outcome if found == outcome else "disagreement"
        runs.append(Run(target.name, index, agreed, command, f"{found}: {message}", in_process=False))
    return runs


def prepare(target: Target, index: int, seeds: Path, work: Path, seed: int) -> tuple[list[str], Path]:
    """Write the damaged file of a run into `work`, and return the command that reads it and the file."""
    import numpy as np  # noqa: PLC0415

    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(seeds / target.group, work)
    file = target.file(work, index)
    # Every run is drawn on its own, so that one can be repeated without the others.
    corrupt(file, target.inside, np.random.default_rng([seed, TARGETS.index(target), index]))
    return target.command(work, file, index), file


def _in_process(command: Sequence[str], file: Path, timeout: float) -> tuple[str, str]:
    errors = io.StringIO()
    # Of computing, not of the clock: a busy machine is no hang. Waiting forever is seen from outside.
    signal.signal(signal.SIGPROF, _alarm)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            signal.setitimer(signal.ITIMER_PROF, timeout)
            try:
                code = _entry_point(command[0])(list(command[1:]))
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    except _HangError:
        return "hang", f"more than {timeout:g} s of computing"
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in where if "site-packages" not in frame.filename] or where
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}"
        return "traceback", f"{type(error).__name__}: {str(error)[:200]} ({place})"
    return _outcome(code, errors.getvalue())


def _outcome(code: int, errors: str) -> tuple[str, str]:
    message = (errors.strip().splitlines() or [""])[-1][:300]
    if "Traceback (most recent call last)" in errors:
        return "traceback", message
    if code not in (0, 2):
        return "other exit", f"{code}: {message}"
    return ("silent" if code and not message else f"exit {code}"), message


def _in_subprocess(command: Sequence[str], timeout: float) -> tuple[str, str]:
    arguments = [sys.executable, "-m", *command]
    try:
        # By the clock, and with a start that takes seconds of its own.
        done = subprocess.run(
            arguments, capture_output=True, text=True, errors="replace", timeout=WAIT * timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return "hang", ""
    return ("crash", "") if done.returncode < 0 else _outcome(done.returncode, done.stderr)


def _entry_point(program: str) -> Callable[[list[str]], Any]:
    """The function behind a command line."""
    if program == "memo_core":
        from memo_core.commands import main  # noqa: PLC0415

        return main
    if program == "analysis":
        return cast("Callable[[list[str]], Any]", import_module("analysis.__main__").main)
    return _attempt if program == "attempt" else _resume


def _resume(arguments: list[str]) -> int:
    """`--resume` up to Ray's start, then what is read of the run's folder after it."""
    from memo_core.command_line import run  # noqa: PLC0415
    from sweeps.engine.plans.manifest import Manifest  # noqa: PLC0415
    from sweeps.engine.run.known import KnownTrials  # noqa: PLC0415
    from sweeps.engine.search.build import searcher_of  # noqa: PLC0415
    from sweeps.engine.search.journal import Journal, replay  # noqa: PLC0415
    from sweeps.engine.tune.tuner import scheduler_of  # noqa: PLC0415
    from sweeps.weight_decay import FACTOR  # noqa: PLC0415

    folder = Path(arguments[0]).parent
    sweep_until_ray(["--resume", "--storage-path", str(folder.parent), "--name", folder.name])

    def plan() -> None:
        manifest = Manifest.read(str(folder))
        replayed = replay(searcher_of(FACTOR, manifest.plan), Journal.read(str(folder)).events)
        KnownTrials(str(folder), manifest, {name: event for name, (event, _) in replayed.ended.items()})
        scheduler_of(manifest.plan, {})

    return run(plan)


def _attempt(arguments: list[str]) -> int:
    """Another attempt at a trial, which must end with its last evaluation: another checkpoint serves as well."""
    from sweeps.engine.tune.trial import trainable  # noqa: PLC0415

    folder = Path(arguments[0]).parents[1]
    reports: list[dict[str, Any]] = []
    context = SimpleNamespace(
        get_trial_dir=lambda: str(folder),
        get_trial_resources=lambda: SimpleNamespace(bundles=[{"CPU": 1.0}]),
    )
    experiment = tiny_experiment()
    with mock.patch.object(trainable, "tune", SimpleNamespace(report=reports.append, get_context=lambda: context)):
        trainable.train_trial(experiment.to_flat(), trainable.TrialOptions(str(folder.parent), 600.0))
    return int(reports[-1].get("images_seen") != experiment.total_images or "failure" in reports[-1])


def work_through(
    pipe: Connection,
    target: str,
    indices: Sequence[int],
    seeds: Path,
    work: Path,
    seed: int,
    timeout: float,
    every: int,
) -> None:
    """Do a target's runs in a process of their own, sending each one's results as soon as it ends."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    # What claims to be huge fails here instead of taking the machine with it.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    kind = next(each for each in TARGETS if each.name == target)
    for index in indices:
        apart = every > 0 and index % every == every - 1
        pipe.send(run_one(kind, index, seeds, work, seed, timeout, apart))
    shutil.rmtree(work, ignore_errors=True)
    pipe.send(None)


def describe(run: Run) -> str:
    """Return a failure in one line."""
    return f"{run.target} {run.index}: {run.outcome}: {run.message} [{json.dumps(run.command[:2])[1:-1]}]"
