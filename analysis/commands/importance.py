"""`python -m analysis importance PATH...`."""

import argparse
import json

from analysis.commands.reading import add_paths, read_final_runs
from analysis.inference.importance import RESAMPLES, rank
from analysis.tables.effects import importance_table
from analysis.tables.writers import write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `importance`."""
    add_paths(parser)
    parser.add_argument(
        "--resamples",
        type=int,
        default=RESAMPLES,
        metavar="N",
        help="of the runs; from 100 on for a 95%% interval, below for the range of all; default: %(default)s",
    )
    parser.add_argument("--seed", type=int, default=0, help="of forests and resampling; default: 0")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Read, rank, print."""
    runs = read_final_runs(arguments)
    ranking = rank(runs, arguments.resamples, arguments.seed)
    if arguments.json:
        print(json.dumps(ranking.to_dict()))
        return 0
    print(write(importance_table(ranking)))
    return 0
