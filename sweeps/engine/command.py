"""The command line that every sweep script has."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

from memo_core.command_line import Parser, run
from memo_core.errors import MemosweepError
from memo_core.experiment import parse_value
from sweeps.engine import ray_session
from sweeps.engine.data_check import check_networks
from sweeps.engine.factor import Factor, Selection
from sweeps.engine.optuna_search import split_ranges
from sweeps.engine.plan import BisectOptions, OptunaOptions, Plan, bisect_plan, grid_plan, optuna_plan
from sweeps.engine.resources import trial_resources


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
    sys.exit(run(lambda: _command(factor, parser, options)))


def _parser(factor: Factor, description: str | None, search: str) -> Parser:
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_argument_group("what to run")
    what.add_argument("--preset", choices=["auto", "laptop", "paper"], default="auto",
                      help="auto takes paper where there are GPUs, else laptop (default)")  # fmt: skip
    what.add_argument("--figure", nargs="+", default=[], metavar="NAME",
                      help=f"only these studies; paper: {', '.join(factor.figures('paper'))}")  # fmt: skip
    what.add_argument(
        "--values", nargs="+", default=[], metavar="VALUE", help=f"of {factor.key}, instead of the preset's"
    )
    what.add_argument("--sizes", nargs="+", default=[], metavar="SIZE", help="of data.size, instead of the preset's")
    what.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                      help="change any other setting, for example --set training.epochs=4000")  # fmt: skip
    what.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="run each trial with seeds 0..N-1 (default: 1)"
    )
    what.add_argument("--search", choices=["grid", "bisect", "optuna"], default=search,
                      help="grid: all trials; bisect: find the EMM of each value; optuna: find the extreme ratio "
                           "(default: %(default)s)")  # fmt: skip
    what.add_argument(
        "--dry-run", action="store_true", help="start nothing and read no data, print one JSON object per trial"
    )
    _add_bisect_arguments(parser.add_argument_group("with --search bisect"))
    _add_optuna_arguments(parser.add_argument_group("with --search optuna"))
    where = parser.add_argument_group("where and how")
    where.add_argument(
        "--gpus-per-trial",
        type=float,
        metavar="N",
        help="a fraction shares a GPU (default: 1 where there are any)",
    )
    where.add_argument(
        "--cpus-per-trial",
        type=float,
        metavar="N",
        help="also its number of threads (default: 1, or a share per GPU)",
    )
    where.add_argument(
        "--max-failures",
        type=int,
        default=3,
        metavar="N",
        help="restarts of a trial from its checkpoint (default: 3)",
    )
    where.add_argument("--storage-path", default="results", metavar="DIR|URL", help="(default: results)")
    where.add_argument("--name", help=f"folder of this run (default: {factor.name}-DATE-TIME)")
    where.add_argument("--resume", action="store_true", help="finish the run of --name, or the latest of this factor")
    return parser


def _add_bisect_arguments(group: Any) -> None:
    group.add_argument(
        "--zeta", type=float, default=0.1, help="the EMM is where the ratio crosses 1 - zeta (default: 0.1)"
    )
    group.add_argument("--tolerance", type=float, default=0.1,
                       help="relative half-width of the interval that ends a search (default: 0.1)")  # fmt: skip
    group.add_argument("--min-size", type=int, metavar="N", help="smallest data.size to train (default: by preset)")
    group.add_argument("--max-size", type=int, metavar="N", help="largest data.size to train (default: by preset)")
    group.add_argument("--protocol", choices=["early", "paper"], default="early",
                       help="paper switches all early verdicts off (default: early)")  # fmt: skip
    for name, what in (
        ("early-success", "stop a trial once its ratio has passed the target with confidence"),
        ("early-failure", "stop a trial whose growth says that it will not pass the target"),
        ("sequential-sampling", "draw no more samples than an intermediate verdict needs"),
    ):
        group.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=what)


def _add_optuna_arguments(group: Any) -> None:
    group.add_argument("--trials", type=int, default=20, metavar="N", help="how many (default: 20)")
    group.add_argument("--direction", choices=["max", "min"], default="max", help="of the ratio (default: max)")
    group.add_argument("--asha", action="store_true", help="stop the worse half of the trials early")


def _selection(
    factor: Factor, options: argparse.Namespace, preset: Literal["laptop", "paper"], settings: dict[str, Any]
) -> Selection:
    if options.repeats < 1:
        raise MemosweepError(f"--repeats {options.repeats}: expected at least 1")
    if options.repeats > 1 and "seed" in settings:
        raise MemosweepError(
            f"--set seed={settings['seed']} with --repeats: the repeats are the seeds, give one of them"
        )
    return Selection(
        preset=preset,
        figures=options.figure,
        values=[parse_value(factor.key, text) for text in options.values],
        sizes=[parse_value("data.size", text) for text in options.sizes],
        settings=settings,
        repeats=options.repeats,
    )


def _choose_preset(wish: str, cluster: ray_session.Cluster) -> tuple[Literal["laptop", "paper"], str]:
    if wish == "paper":
        return "paper", "as asked"
    if wish == "laptop":
        return "laptop", "as asked"
    if cluster.gpus:
        return "paper", f"since {cluster.description}; --preset laptop is the small study"
    return "laptop", f"since {cluster.description}; --preset paper is the published study"


def _command(factor: Factor, parser: Parser, options: argparse.Namespace) -> int:
    _check_options(parser, options)
    if options.max_failures < 0:
        raise MemosweepError(f"--max-failures {options.max_failures}: expected at least 0")
    if options.name is not None and (not options.name.strip(". ") or "/" in options.name):
        raise MemosweepError(f"--name {options.name}: expected the name of a folder, without a slash")
    if options.resume:
        from sweeps.engine.runner import resume_sweep  # noqa: PLC0415 - loads Tune, bad input need not wait

        return resume_sweep(factor, options.storage_path, options.name)
    cluster = ray_session.look()
    preset, reason = _choose_preset(options.preset, cluster)
    plan = _plan(factor, options, preset)
    check_networks(plan.trials)
    if options.dry_run:
        # A dry run describes a run wherever it may be: GPUs that are asked for count as there.
        wished = math.ceil(options.gpus_per_trial or 0) if math.isfinite(options.gpus_per_trial or 0) else 0
        cluster = ray_session.Cluster(cluster.cpus, max(cluster.gpus, wished), cluster.description)
        resources = trial_resources(cluster, options.gpus_per_trial, options.cpus_per_trial)
        for trial in _first_trials(factor, plan, resources, cluster):
            print(json.dumps({"config": trial, "resources": resources}))
        return 0
    from sweeps.engine.runner import start_sweep  # noqa: PLC0415

    resources = trial_resources(cluster, options.gpus_per_trial, options.cpus_per_trial)
    print(f"preset {preset}, {reason}", flush=True)
    if plan.search == "optuna":
        print(f"searching at |D| = {plan.trials[0]['data.size']:,}; --sizes N chooses another", flush=True)
    return start_sweep(factor, plan, preset, resources, options.storage_path, options.name, options.max_failures)


def _plan(factor: Factor, options: argparse.Namespace, preset: Literal["laptop", "paper"]) -> Plan:
    settings, ranges = split_ranges(options.set)
    selection = _selection(factor, options, preset, settings)
    if ranges and options.search != "optuna":
        raise MemosweepError(f"--set {next(iter(ranges))}=range(...): only --search optuna searches a range")
    if options.search == "optuna":
        return optuna_plan(factor, selection, ranges, OptunaOptions(options.trials, options.direction, options.asha))
    if options.search == "bisect":
        early = {
            name: options.protocol == "early" if getattr(options, name) is None else getattr(options, name)
            for name in ("early_success", "early_failure", "sequential_sampling")
        }
        limits = BisectOptions(options.zeta, options.tolerance, options.min_size, options.max_size, **early)
        return bisect_plan(factor, selection, limits)
    return grid_plan(factor, selection)


def _first_trials(
    factor: Factor, plan: Plan, resources: dict[str, float], cluster: ray_session.Cluster
) -> list[dict[str, Any]]:
    """All trials of a grid; of a search, those that it would start with."""
    if plan.search == "grid":
        return plan.trials
    from sweeps.engine.strategy import searcher_of  # noqa: PLC0415 - loads Tune

    at_once = int(cluster.gpus / resources["gpu"]) if resources["gpu"] else int(cluster.cpus / resources["cpu"])
    searcher = searcher_of(factor, plan)
    suggested = [searcher.suggest(f"dry-run-{index}") for index in range(max(1, at_once))]
    return [trial for trial in suggested if isinstance(trial, dict)]


_BISECT_OPTIONS = ("zeta", "tolerance", "min_size", "max_size", "protocol", "early_success", "early_failure",
                   "sequential_sampling")  # fmt: skip
_OPTUNA_OPTIONS = ("trials", "direction", "asha")


def _check_options(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse options that would be ignored."""
    given = [name for name, value in vars(options).items() if value != parser.get_default(name)]
    for search, names in (("bisect", _BISECT_OPTIONS), ("optuna", _OPTUNA_OPTIONS)):
        for name in names:
            if name in given and options.search != search:
                raise MemosweepError(f"--{name.replace('_', '-')} goes with --search {search}")
    if options.resume:
        # What a resumed run does was settled when it started.
        changed = [name for name in given if name not in ("resume", "name", "storage_path")]
        if changed:
            option = changed[0].replace("_", "-")
            raise MemosweepError(f"--resume with --{option}: a resumed run keeps its trials, leave it out")
