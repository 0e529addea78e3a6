"""The command line that every sweep script has."""

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from memo_core.command_line import parse_duration, run
from memo_core.errors import MemosweepError, quoted
from memo_core.experiment.presets import PRESETS
from memo_core.terminal import Parser
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.names import AUTO, BISECT_OPTIONS, EARLY_STOPS, OPTUNA_OPTIONS, STORAGE
from sweeps.engine.slurm.request import add_arguments, check_options


def main(
    factor: Factor, description: str | None, search: str = "grid", arguments: Sequence[str] | None = None
) -> NoReturn:
    """Run a sweep script and exit: 0 done, 1 some trials failed, 2 bad input, 130 interrupted.

    Args:
        factor: what is studied.
        description: the script's docstring, for `--help`.
        search: the default of `--search`.
        arguments: of the command line; None takes the process's own.
    """
    parser = _parser(factor, description, search)
    options = parser.parse_args(arguments)
    with _sigterm_as_ctrl_c():
        status = run(lambda: _checked(factor, parser, options))
    sys.exit(status)


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM while Ray starts, or while the tables are written, end like Ctrl-C: Ray is ended, exit 130."""

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    # Python hands signals to the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if before is not None:  # none that Python has set
            signal.signal(signal.SIGTERM, before)


def _checked(factor: Factor, parser: Parser, options: argparse.Namespace) -> int:
    _check_options(parser, options)
    # They load Ray and torch: help and typing errors need not wait.
    if options.slurm is not None or options.slurm_array is not None:
        from sweeps.engine.slurm.jobs import write_job  # noqa: PLC0415

        return write_job(factor, options)
    from sweeps.engine.cluster import session  # noqa: PLC0415
    from sweeps.engine.run.execute import execute  # noqa: PLC0415

    try:
        return execute(factor, options)
    finally:
        session.stop()


def _parser(factor: Factor, description: str | None, search: str) -> Parser:
    exits = "exit codes: 0 done, 1 some trials failed, 2 bad input, 130 interrupted and worth starting again"
    parser = Parser(description=description, epilog=exits, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_argument_group("what to run")
    what.add_argument("--preset", choices=["auto", *PRESETS], default="auto",
                      help="auto takes paper where there are GPUs, else laptop (default)")  # fmt: skip
    what.add_argument("--data", metavar="IMAGES",
                      help="your own images (folder, zip, .npz, .npy), with resolution, learning rate and budget "
                           "that fit them")  # fmt: skip
    what.add_argument("--calibration", metavar="TIME|off",
                      help="with --data: train so long at most to find rate and budget (default: 3min)")  # fmt: skip
    what.add_argument("--figure", nargs="+", default=[], metavar="NAME",
                      help=f"only these studies; paper: {', '.join(factor.figures('paper'))}")  # fmt: skip
    what.add_argument("--values", nargs="+", default=[], metavar="VALUE",
                      help=f"of {factor.key}, instead of the preset's")  # fmt: skip
    what.add_argument("--sizes", nargs="+", default=[], metavar="SIZE", help="of data.size, instead of the preset's")
    what.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                      help="change any other setting, for example --set training.epochs=4000")  # fmt: skip
    what.add_argument("--repeats", type=int, default=1, metavar="N",
                      help="run each trial with seeds 0..N-1 (default: 1)")  # fmt: skip
    what.add_argument("--search", choices=["grid", "bisect", "optuna"], default=search,
                      help="grid: all trials; bisect: find the EMM of each value; optuna: find the extreme ratio "
                           "(default: %(default)s)")  # fmt: skip
    what.add_argument("--dry-run", action="store_true",
                      help="start nothing and read no data, print one JSON object per trial")  # fmt: skip
    what.add_argument("--estimate", action="store_true",
                      help="with --dry-run: hours and GPU hours too, measured on the device at hand")  # fmt: skip
    what.add_argument("--images-per-second", type=float, metavar="N",
                      help="with --estimate: the speed of the first trial, instead of measuring")  # fmt: skip
    _add_bisect_arguments(parser.add_argument_group("with --search bisect"))
    further = "--set KEY=range(low,high[,log]) and --set KEY=choice(a,b,...) search further keys"
    _add_optuna_arguments(parser.add_argument_group("with --search optuna", further))
    where = parser.add_argument_group("where and how")
    where.add_argument("--gpus-per-trial", type=_gpus, metavar="N|auto",
                       help="a fraction shares a GPU, several train together; auto finds the fraction by a short "
                            "measurement (default: 1 where there are any)")  # fmt: skip
    where.add_argument("--cpus-per-trial", type=float, metavar="N",
                       help="also its number of threads (default: 1, or a share per GPU)")  # fmt: skip
    where.add_argument("--address", default="auto", metavar="auto|local|HOST:PORT",
                       help="the Ray to use; auto: $RAY_ADDRESS, else the one that this machine runs, else a new one "
                            "(default: auto)")  # fmt: skip
    where.add_argument("--max-gpus", type=int, metavar="N",
                       help="that a cluster can grow to, where it does not say so itself")  # fmt: skip
    where.add_argument("--storage-path", default=STORAGE, metavar="DIR|URL", help="(default: %(default)s)")
    where.add_argument("--shared-storage", action="store_true",
                       help="all nodes of the cluster have the folder of --storage-path (NFS)")  # fmt: skip
    where.add_argument("--name", help=f"folder of this run (default: {factor.name}-DATE-TIME)")
    where.add_argument("--resume", action="store_true", help="finish the run of --name, or the latest of this factor")
    where.add_argument("--auto-resume", action="store_true",
                       help="start the run of --name, or finish it where these options began it")  # fmt: skip
    where.add_argument("--extend", metavar="NAME",
                       help="add --values, --sizes, --repeats or a longer budget to a run")  # fmt: skip
    where.add_argument("--reuse", nargs="+", default=[], metavar="RUN",
                       help="folders of runs whose equal trials are taken and not trained again")  # fmt: skip
    where.add_argument("--logger", nargs="+", choices=["wandb", "mlflow"], metavar="wandb|mlflow",
                       help="send the reports there too; TensorBoard has them anyway")  # fmt: skip
    add_arguments(parser.add_argument_group("on a cluster with Slurm"))
    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (default: what fits)")
    limits.add_argument("--time-budget", metavar="TIME",
                        help="stop after so long, such as 8h or 90min, to be resumed")  # fmt: skip
    limits.add_argument("--checkpoint-every", metavar="TIME",
                        help="save each trial at least so often (default: 10min)")  # fmt: skip
    limits.add_argument("--max-failures", type=int, metavar="N",
                        help="restarts of a trial that makes no progress (default: 3)")  # fmt: skip
    return parser


def _add_bisect_arguments(group: Any) -> None:
    # Without defaults, which the options object has: what is explicit can be seen.
    group.add_argument("--zeta", type=float, help="the EMM is where the ratio crosses 1 - zeta (default: 0.1)")
    group.add_argument("--tolerance", type=float,
                       help="relative half-width of the interval that ends a search (default: 0.1)")  # fmt: skip
    group.add_argument("--min-size", type=int, metavar="N",
                       help="smallest data.size to train (default: 4, with --preset paper 100)")  # fmt: skip
    group.add_argument("--max-size", type=int, metavar="N",
                       help="largest data.size to train (default: 100, with --preset paper 50,000)")  # fmt: skip
    group.add_argument("--protocol", choices=["early", "paper"],
                       help="paper switches all early stops off (default: early)")  # fmt: skip
    for name, what in (
        ("early-success", "stop a trial once its ratio is surely far above the target"),
        ("sequential-sampling", "draw no more samples than an intermediate evaluation needs"),
    ):
        group.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=what)


def _add_optuna_arguments(group: Any) -> None:
    group.add_argument("--trials", type=int, metavar="N", help="how many (default: 20)")
    group.add_argument("--direction", choices=["max", "min"], help="of the ratio (default: max)")
    group.add_argument("--asha", action="store_true", default=None, help="stop the worse half of the trials early")


def _gpus(text: str) -> float | str:
    try:
        return text if text == AUTO else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)}: expected a number of GPUs, or auto") from None


LIMITS = ("max_concurrent", "time_budget", "checkpoint_every", "max_failures")
_SLURM = ("slurm", "slurm_array", "sbatch")
_OF_ANY_START = ("name", "storage_path", "reuse", "address", "max_gpus", "shared_storage", "logger", *_SLURM, *LIMITS)
_MODES = ("resume", "auto_resume", "extend")
_MAX_SPEED = 1e9
_MAX_COUNT = 10**6
"""Of numbers of trials, as in a manifest."""


def _check_options(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse options that would be ignored."""
    explicit = [name for name, value in vars(options).items() if value != parser.get_default(name)]
    check_options(options, explicit)
    modes = [_option(name) for name in _MODES if name in explicit]
    if len(modes) > 1:
        raise MemosweepError(f"{modes[0]} with {modes[1]}: give one of them")
    if options.resume:
        # What a resumed run does was settled when it started.
        changed = [name for name in explicit if name not in ("resume", *_OF_ANY_START)]
        if changed:
            message = f"--resume with {_option(changed[0])}: a resumed run keeps its trials, leave it out"
            raise MemosweepError(f"{message}; --extend adds trials to a run")
    for name in ("data", "calibration"):
        if options.extend is not None and name in explicit:
            raise MemosweepError(f"--extend with {_option(name)}: an extended run keeps its images, leave it out")
    for name in ("slurm", "slurm_array"):
        if options.data is not None and getattr(options, name) is not None:
            message = "a calibration belongs on the machine that trains; start the sweep there with --data once"
            raise MemosweepError(f"{_option(name)} with --data: {message}, and give the --set that it prints")
    if options.data is None and options.calibration is not None:
        raise MemosweepError("--calibration goes with --data")
    if options.data is not None and any(setting.partition("=")[0].strip() == "data.dataset" for setting in options.set):
        raise MemosweepError("--data with --set data.dataset: they are the same, give one of them")
    if options.auto_resume and options.name is None:
        raise MemosweepError("--auto-resume needs --name, by which the run is found again")
    if options.extend is not None and options.name is not None:
        raise MemosweepError("--extend with --name: --extend itself takes the name of the run")
    for name in ("search", "gpus_per_trial", "cpus_per_trial"):
        if options.extend is not None and name in explicit:
            raise MemosweepError(f"--extend with {_option(name)}: an extended run keeps what it has, leave it out")
    searches = options.search if options.extend is None else None
    for search, names in (("bisect", BISECT_OPTIONS), ("optuna", OPTUNA_OPTIONS)):
        for name in names:
            if name in explicit and searches not in (search, None):
                raise MemosweepError(f"{_option(name)} goes with --search {search}")
    if options.protocol == "paper":
        for name in EARLY_STOPS:
            if getattr(options, name):
                raise MemosweepError(f"--protocol paper with {_option(name)}: it has no early stops")
    if options.estimate and not options.dry_run:
        raise MemosweepError("--estimate goes with --dry-run")
    if options.images_per_second is not None:
        if not options.estimate:
            raise MemosweepError("--images-per-second goes with --dry-run --estimate")
        if not 0 < options.images_per_second <= _MAX_SPEED:
            raise MemosweepError(f"--images-per-second {options.images_per_second}: expected above 0, at most 10^9")
    for name in ("time_budget", "checkpoint_every"):
        if getattr(options, name) is not None:
            setattr(options, name, parse_duration(getattr(options, name), _option(name)))
    for name, least in (("repeats", 1), ("max_concurrent", 1), ("max_failures", 0)):
        value = getattr(options, name)
        if value is not None and not least <= value <= _MAX_COUNT:
            raise MemosweepError(f"{_option(name)} {quoted(value)}: expected from {least} to {_MAX_COUNT:,}")
    if options.name is not None and (not options.name.strip(". ") or "/" in options.name):
        raise MemosweepError(f"--name {options.name}: expected the name of a folder, without a slash")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
