"""The command line that every sweep script has."""

import argparse
import json
import math
import sys
from typing import Literal, NoReturn

from memo_core.command_line import Parser, parse_settings, run
from memo_core.errors import MemosweepError
from memo_core.experiment import parse_value
from sweeps.engine import ray_session
from sweeps.engine.factor import Factor, Selection, trials_of
from sweeps.engine.resources import trial_resources


def main(factor: Factor, description: str | None) -> NoReturn:
    """Run a sweep script and exit: 0 done, 1 some trials failed, 2 bad input, 130 interrupted."""
    options = _parser(factor, description).parse_args()
    sys.exit(run(lambda: _command(factor, options)))


def _parser(factor: Factor, description: str | None) -> Parser:
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
    what.add_argument("--search", choices=["grid"], default="grid", help="how trials are chosen (default: grid)")
    what.add_argument("--dry-run", action="store_true", help="start nothing, print one JSON object per trial")
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


def _selection(factor: Factor, options: argparse.Namespace, preset: Literal["laptop", "paper"]) -> Selection:
    if options.repeats < 1:
        raise MemosweepError(f"--repeats {options.repeats}: expected at least 1")
    return Selection(
        preset=preset,
        figures=options.figure,
        values=[parse_value(factor.key, text) for text in options.values],
        sizes=[parse_value("data.size", text) for text in options.sizes],
        settings=parse_settings(options.set),
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


def _command(factor: Factor, options: argparse.Namespace) -> int:
    from sweeps.engine.runner import resume_sweep, start_sweep  # noqa: PLC0415 - loads Tune, --help need not wait

    if options.max_failures < 0:
        raise MemosweepError(f"--max-failures {options.max_failures}: expected at least 0")
    if options.name is not None and (not options.name.strip(". ") or "/" in options.name):
        raise MemosweepError(f"--name {options.name}: expected the name of a folder, without a slash")
    if options.resume:
        _check_resume(options)
        return resume_sweep(factor, options.storage_path, options.name)
    cluster = ray_session.look()
    preset, reason = _choose_preset(options.preset, cluster)
    trials = trials_of(factor, _selection(factor, options, preset))
    if options.dry_run:
        # A dry run describes a run wherever it may be: GPUs that are asked for count as there.
        wished = math.ceil(options.gpus_per_trial or 0)
        cluster = ray_session.Cluster(cluster.cpus, max(cluster.gpus, wished), cluster.description)
        resources = trial_resources(cluster, options.gpus_per_trial, options.cpus_per_trial)
        for trial in trials:
            print(json.dumps({"config": trial, "resources": resources}))
        return 0
    resources = trial_resources(cluster, options.gpus_per_trial, options.cpus_per_trial)
    print(f"preset {preset}, {reason}", flush=True)
    return start_sweep(factor, trials, preset, resources, options.storage_path, options.name, options.max_failures)


def _check_resume(options: argparse.Namespace) -> None:
    given = [f"--{name}" for name in ("figure", "values", "sizes", "set") if getattr(options, name)]
    if options.preset != "auto":
        given.append("--preset")
    if options.repeats != 1:
        given.append("--repeats")
    if given:
        raise MemosweepError(f"--resume with {given[0]}: a resumed run keeps its trials, leave it out")
