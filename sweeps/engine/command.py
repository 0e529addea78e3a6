"""The command line that every sweep script has."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from memo_core.command_line import run
from memo_core.errors import MemosweepError
from memo_core.terminal import Parser
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.names import EARLY_STOPS


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
    sys.exit(run(lambda: _checked(factor, parser, options)))


def _checked(factor: Factor, parser: Parser, options: argparse.Namespace) -> int:
    _check_options(parser, options)
    from sweeps.engine.run.execute import execute  # noqa: PLC0415 - loads Ray and torch: help and typing errors need not wait

    return execute(factor, options)


def _parser(factor: Factor, description: str | None, search: str) -> Parser:
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_argument_group("what to run")
    what.add_argument("--preset", choices=["auto", "laptop", "paper"], default="auto",
                      help="auto takes paper where there are GPUs, else laptop (default)")  # fmt: skip
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
    _add_bisect_arguments(parser.add_argument_group("with --search bisect"))
    further = "--set KEY=range(low,high[,log]) and --set KEY=choice(a,b,...) search further keys"
    _add_optuna_arguments(parser.add_argument_group("with --search optuna", further))
    where = parser.add_argument_group("where and how")
    where.add_argument("--gpus-per-trial", type=float, metavar="N",
                       help="a fraction shares a GPU (default: 1 where there are any)")  # fmt: skip
    where.add_argument("--cpus-per-trial", type=float, metavar="N",
                       help="also its number of threads (default: 1, or a share per GPU)")  # fmt: skip
    where.add_argument("--max-failures", type=int, default=3, metavar="N",
                       help="restarts of a trial from its checkpoint (default: 3)")  # fmt: skip
    where.add_argument("--storage-path", default="results", metavar="DIR|URL", help="(default: results)")
    where.add_argument("--name", help=f"folder of this run (default: {factor.name}-DATE-TIME)")
    where.add_argument("--resume", action="store_true", help="finish the run of --name, or the latest of this factor")
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


_BISECT_OPTIONS = ("zeta", "tolerance", "min_size", "max_size", "protocol", *EARLY_STOPS)
_OPTUNA_OPTIONS = ("trials", "direction", "asha")


def _check_options(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse options that would be ignored."""
    explicit = [name for name, value in vars(options).items() if value != parser.get_default(name)]
    if options.resume:
        # What a resumed run does was settled when it started.
        changed = [name for name in explicit if name not in ("resume", "name", "storage_path")]
        if changed:
            option = changed[0].replace("_", "-")
            raise MemosweepError(f"--resume with --{option}: a resumed run keeps its trials, leave it out")
    for search, names in (("bisect", _BISECT_OPTIONS), ("optuna", _OPTUNA_OPTIONS)):
        for name in names:
            if name in explicit and options.search != search:
                raise MemosweepError(f"--{name.replace('_', '-')} goes with --search {search}")
    if options.protocol == "paper":
        for name in EARLY_STOPS:
            if getattr(options, name):
                raise MemosweepError(f"--protocol paper with --{name.replace('_', '-')}: it has no early stops")
    if options.repeats < 1:
        raise MemosweepError(f"--repeats {options.repeats}: expected at least 1")
    if options.max_failures < 0:
        raise MemosweepError(f"--max-failures {options.max_failures}: expected at least 0")
    if options.name is not None and (not options.name.strip(". ") or "/" in options.name):
        raise MemosweepError(f"--name {options.name}: expected the name of a folder, without a slash")
