"""What a job asks Slurm for: `--sbatch`, checked as far as that is possible without Slurm."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memo_core.errors import MemosweepError, quoted

_OPTION = re.compile(r"[a-z][a-z0-9-]*")
_VALUE = re.compile(r"[\x21\x23-\x26\x28-\x5b\x5d-\x7e]+")
"""Printable, without spaces, quotes and backslashes, which `#SBATCH` lines treat in ways of their own."""
_OWN = ("array", "signal", "requeue", "no-requeue", "ntasks", "ntasks-per-node", "chdir", "wrap", "test-only", "export")
"""The job's own working depends on these."""
_GPUS = ("gpus-per-node", "gpus-per-task", "gres", "gpus")
_GPU_COUNT = re.compile(r"(?:gpu:)?(?:[A-Za-z][\w.-]*:)?([0-9]{1,4})")
_COUNT = re.compile(r"[1-9][0-9]{0,5}")

ARRAY_IGNORES = ("resume", "extend", "reuse", "time_budget", "max_failures", "shared_storage", "logger")
"""Options of a sweep that an array of trainings without Ray cannot follow."""
_OWN_RAY = ("address", "max_gpus")


@dataclass(frozen=True)
class Request:
    """The options of `sbatch`, and what they amount to on each node."""

    options: Mapping[str, str] = field(default_factory=dict)
    """By their long names without dashes; empty for those without a value."""
    nodes: int = 1
    gpus: int = 0
    """Of each node."""
    cpus: int | None = None
    """Of each node; None where the job does not ask for a number, or takes the whole node."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Request":
        """Read `--sbatch NAME=VALUE ...`.

        Raises:
            MemosweepError: which of them is wrong.
        """
        options: dict[str, str] = {}
        for text in texts:
            name, equals, value = text.removeprefix("--").partition("=")
            if not _OPTION.fullmatch(name) or (equals and not _VALUE.fullmatch(value)):
                raise MemosweepError(f"--sbatch {quoted(text)}: expected NAME=VALUE, such as time=24:00:00")
            if name in _OWN:
                raise MemosweepError(f"--sbatch {text}: the job needs its own --{name}, leave it out")
            if name in options:
                raise MemosweepError(f"--sbatch {text}: --{name} is given twice")
            options[name] = value
        nodes = _count("nodes", options["nodes"]) if "nodes" in options else 1
        gpus = _gpus(options, nodes)
        if {"cpus-per-task", "cpus-per-gpu"} <= options.keys():
            raise MemosweepError("--sbatch cpus-per-gpu with cpus-per-task: Slurm takes one of them")
        cpus = _count("cpus-per-task", options["cpus-per-task"]) if "cpus-per-task" in options else None
        if "cpus-per-gpu" in options:
            if not gpus:
                raise MemosweepError("--sbatch cpus-per-gpu without GPUs: give gpus-per-node too, or cpus-per-task")
            cpus = gpus * _count("cpus-per-gpu", options["cpus-per-gpu"])
        takes_whole_nodes = nodes > 1 or "exclusive" in options
        return cls(options, nodes, gpus, cpus if cpus or takes_whole_nodes else 1)


def _count(name: str, value: str) -> int:
    if not _COUNT.fullmatch(value):
        raise MemosweepError(f"--sbatch {name}={value}: expected a whole number from 1")
    return int(value)


def _gpus(options: Mapping[str, str], nodes: int) -> int:
    """Return the GPUs of each node."""
    for name in _GPUS:
        # Among the generic resources of `gres` may be others.
        parts = [part for part in options.get(name, "").split(",") if name != "gres" or part.split(":")[0] == "gpu"]
        if name not in options or not parts:
            continue
        if name == "gres" and parts == ["gpu"]:
            return 1
        match = _GPU_COUNT.fullmatch(parts[0])
        if len(parts) > 1 or match is None:
            raise MemosweepError(f"--sbatch {name}={options[name]}: expected a number of GPUs, such as {name}="
                                 f"{'gpu:' if name == 'gres' else ''}4")  # fmt: skip
        count = int(match[1])
        if name == "gpus" and count % nodes:
            raise MemosweepError(f"--sbatch gpus={options[name]}: not a multiple of nodes={nodes}, give gpus-per-node")
        return count // nodes if name == "gpus" else count
    return 0


def check_options(options: argparse.Namespace, explicit: Sequence[str]) -> None:
    """Refuse options that do not go together with a job for Slurm.

    Args:
        options: of a sweep's command line.
        explicit: the names of those that were given.

    Raises:
        MemosweepError: which.
    """
    modes = [name for name in ("slurm", "slurm_array") if name in explicit]
    if not modes:
        if "sbatch" in explicit:
            raise MemosweepError("--sbatch goes with --slurm FILE or --slurm-array FILE")
        return
    if len(modes) > 1:
        raise MemosweepError("--slurm with --slurm-array: give one of them")
    typed = _option(modes[0])
    if options.dry_run:
        raise MemosweepError(f"{typed} with --dry-run: a dry run writes no job, leave one out")
    for name in _OWN_RAY:
        if name in explicit:
            raise MemosweepError(f"{typed} with {_option(name)}: the job starts a Ray of its own, leave it out")
    request = Request.of(options.sbatch)
    if options.slurm_array is not None:
        _check_array(options, explicit, request)


def _check_array(options: argparse.Namespace, explicit: Sequence[str], request: Request) -> None:
    if options.search != "grid":
        raise MemosweepError(f"--slurm-array with --search {options.search}: a search chooses its trials as it goes; "
                             "--slurm runs it as one job")  # fmt: skip
    for name in ARRAY_IGNORES:
        if name in explicit:
            instead = "give it by --sbatch time=" if name == "time_budget" else "--slurm runs a whole sweep as one job"
            raise MemosweepError(f"--slurm-array with {_option(name)}: its tasks are trainings without Ray; {instead}")
    if request.nodes > 1:
        raise MemosweepError(f"--slurm-array with --sbatch nodes={request.nodes}: each task has one node, leave it out")
    if options.gpus_per_trial not in (None, 0, 1) or request.gpus > 1:
        asked = options.gpus_per_trial if options.gpus_per_trial not in (None, 0, 1) else request.gpus
        number = asked if isinstance(asked, str) else f"{asked:g}"
        raise MemosweepError(f"--slurm-array with {number} GPUs a trial: a task trains on one GPU or none; --slurm "
                             "shares and joins GPUs")  # fmt: skip
    cpus = options.cpus_per_trial
    if cpus is not None and (cpus != int(cpus) or cpus < 1):
        raise MemosweepError(f"--slurm-array with --cpus-per-trial {cpus:g}: expected a whole number from 1")
    for name, asked in (("gpus_per_trial", _GPUS), ("cpus_per_trial", ("cpus-per-task", "cpus-per-gpu"))):
        twice = next((option for option in asked if option in request.options), None)
        if name in explicit and twice is not None:
            raise MemosweepError(f"--slurm-array with {_option(name)} and --sbatch {twice}: give one of them")


def add_arguments(parser: Any) -> None:
    """Declare `--slurm`, `--slurm-array` and `--sbatch`."""
    parser.add_argument("--slurm", metavar="FILE", help="write a job that runs this sweep, instead of running it")
    parser.add_argument(
        "--slurm-array",
        metavar="FILE",
        help="write a job that trains each trial of this grid as a task of an array, without Ray",
    )
    parser.add_argument(
        "--sbatch",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="options of the job, such as nodes=2 gpus-per-node=4 time=24:00:00 partition=gpu",
    )


def typed_without_slurm(arguments: Sequence[str]) -> list[str]:
    """Return a command line without the options of this package, in its order."""
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    return parser.parse_known_args(list(arguments))[1]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
