"""Disturb sweeps at random until they are done, and compare them with undisturbed ones.

    python -m benchmarks.faults                           a grid of 40 trials, an EMM search, an Optuna search
    python -m benchmarks.faults --only grid --trials 6    small

Every few seconds of training a fault is really caused, and after each end of its driver the sweep is started again by
the same command line (`--auto-resume --name`) until it exits with 0. Every training step, checkpoint and fault is
logged outside of the run's folder, from which follows what was trained twice. A full disk takes root, to mount one.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faulting.comparison import differences
from benchmarks.faulting.disk import small_disk
from benchmarks.faulting.driver import REPOSITORY, Place
from benchmarks.faulting.history import as_counts, read_events, repetition
from benchmarks.faulting.injection import DISK_FULL, DRIVER_KILLED, KINDS, Faults
from benchmarks.faulting.soak import Soak, left_behind, run_undisturbed, run_with_faults
from memo_core.terminal import Parser

RESULTS = Path(__file__).parent / "results/faults.json"
_DISK_MEBIBYTES = 192
_MUST_BE_ZERO = (
    "lost_trials",
    "lost_evaluations",
    "attempts_as_trials",
    "changed_numbers",
    "repeated_trainings",
    "repeated_images",
    "finished_trained_again",
    "processes",
    "session_folders",
    "other_temporary_files",
)
_log = logging.getLogger("faults")


@dataclass(frozen=True)
class Sweep:
    """A sweep that is run twice, without and with faults."""

    name: str
    arguments: Sequence[str]
    kinds: tuple[str, ...] = KINDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 1 where anything was lost, repeated, changed or left behind."""
    parser = Parser(
        prog="python -m benchmarks.faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=["grid", "emm", "optuna"], default=["grid", "emm", "optuna"])
    parser.add_argument("--trials", type=int, default=40, help="of the grid (default: %(default)s)")
    parser.add_argument("--images", type=int, default=1600, help="that a trial trains on (default: %(default)s)")
    parser.add_argument("--between", type=float, nargs=2, default=(2.0, 6.0), metavar=("LOW", "HIGH"),
                        help="seconds of training between two faults (default: 2 6)")  # fmt: skip
    parser.add_argument(
        "--most", type=int, default=100, metavar="N", help="faults of each sweep (default: %(default)s)"
    )
    parser.add_argument("--starts", type=int, default=200, help="after so many a sweep is given up")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the outputs of all drivers here")
    parser.add_argument("--write", action="store_true", help=f"write the numbers to {RESULTS.relative_to(REPOSITORY)}")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    report: dict[str, Any] = {"seed": options.seed}
    for sweep in sweeps(options.trials, options.images):
        if sweep.name in options.only:
            report[sweep.name] = disturb(sweep, options)
            print(json.dumps({sweep.name: report[sweep.name]}, indent=1), flush=True)
    if options.write:
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    wrong = [(name, key) for name, part in report.items() if name != "seed" for key in _MUST_BE_ZERO if part[key]]
    for name, key in wrong:
        _log.info("%s: %s is %s, not 0", name, key, report[name][key])
    return int(bool(wrong))


def sweeps(trials: int, images: int) -> list[Sweep]:
    """Return the sweeps: a grid of all kinds of faults, and two searches whose drivers are killed.

    Args:
        trials: of the grid, at least 2.
        images: that a trial trains on.
    """
    values = ("0", "1e-4", "1e-3", "1e-2", "1e-1")
    repeats = -(-trials // (len(values) * 4)) if trials >= 20 else 1
    columns = values if trials >= 20 else values[:2]
    sizes = [str(4 + 2 * n) for n in range(max(1, trials // (repeats * len(columns))))]
    grid = ["--values", *columns, "--sizes", *sizes, "--repeats", str(repeats)]
    one_slot = ["--max-concurrent", "1"]
    emm = ["--search", "bisect", "--values", "0", "1e-1", "--min-size", "4", "--max-size", "40", *one_slot]
    optuna = ["--search", "optuna", "--trials", "8", "--sizes", "4", *one_slot]
    common = ["--preset", "laptop", *settings(images), "--checkpoint-every", "1s"]
    start = ["--storage-path", "results", "--name", "run", "--auto-resume"]
    script = str(REPOSITORY / "sweeps/weight_decay.py")
    kinds = {"grid": KINDS, "emm": (DRIVER_KILLED,), "optuna": (DRIVER_KILLED,)}
    parts = {"grid": grid, "emm": emm, "optuna": optuna}
    return [Sweep(name, [script, *part, *common, *start], kinds[name]) for name, part in parts.items()]


def settings(images: int) -> list[str]:
    """Return `--set` options of an experiment of some seconds."""
    values = {
        "model.width": 8,
        "model.channel_multipliers": "[1,1]",
        "model.dropout": 0.1,
        "training.images": images,
        "training.batch_size": 16,
        "training.warmup_epochs": 2,
        "evaluation.count": 6,
        "evaluation.num_samples": 60,
        "evaluation.steps": 4,
        # Else nothing would be memorized by so small a network, and all ratios would be equal.
        "evaluation.threshold": 0.9,
    }
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def disturb(sweep: Sweep, options: argparse.Namespace) -> dict[str, Any]:
    """Run a sweep without and with faults; returns what is reported of it."""
    # Short, for Ray's sockets.
    root = Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    undisturbed = place = Place(root / "a")
    try:
        seconds = run_undisturbed(undisturbed, sweep.arguments)
        _log.info("%s: %.0f s without faults", sweep.name, seconds)
        with small_disk(root / "disk", _DISK_MEBIBYTES) as disk:
            kinds = tuple(kind for kind in sweep.kinds if kind != DISK_FULL or disk is not None)
            place = Place(root / "b", disk)
            faults = Faults(place, options.seed, kinds)
            try:
                between = (options.between[0], options.between[1])
                soak = run_with_faults(place, sweep.arguments, faults, between, options.starts, options.most)
                counts = differences(undisturbed.run, place.run)
            finally:
                if options.keep is not None:
                    shutil.copytree(place.output, options.keep / sweep.name, dirs_exist_ok=True)
                    shutil.copytree(place.witness, options.keep / f"{sweep.name}-events", dirs_exist_ok=True)
                    for name, run in (("undisturbed", undisturbed.run), ("run", place.run)):
                        shutil.copytree(run, options.keep / f"{sweep.name}-{name}", dirs_exist_ok=True)
            return _report(sweep, seconds, soak, faults, counts, place)
    finally:
        # Of a benchmark that was broken off; what a sweep leaves behind was counted before.
        for process in [*undisturbed.processes(), *place.processes()]:
            process.kill()
        shutil.rmtree(root, ignore_errors=True)


def _report(
    sweep: Sweep, seconds: float, soak: Soak, faults: Faults, counts: dict[str, int], place: Place
) -> dict[str, Any]:
    return {
        **counts,
        **as_counts(repetition(read_events(place.witness))),
        **left_behind(place),
        "faults": {kind: faults.counts[kind] for kind in sweep.kinds if kind in faults.kinds},
        "of_them_between_two_drivers": {kind: count for kind, count in faults.between.items() if count},
        "left_out": [kind for kind in sweep.kinds if kind not in faults.kinds],
        "driver_starts": soak.starts,
        "exit_codes": {str(code): count for code, count in sorted(soak.exit_codes.items())},
        "longest_end_after_sigterm": max(soak.end_seconds, default=None),
        "complaints": soak.complaints,
        "seconds_undisturbed": round(seconds),
        "seconds": round(soak.seconds),
    }


if __name__ == "__main__":
    sys.exit(main())
