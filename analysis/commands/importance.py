"""`python -m analysis importance PATH...`."""

import argparse
import json

from analysis.commands.reading import add_paths, read_runs, say_excluded
from analysis.inference.importance import RESAMPLES, rank
from analysis.tables.render import Grid, render_grid


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
    runs = read_runs(arguments)
    say_excluded(runs)
    ranking = rank(runs, arguments.resamples, arguments.seed)
    if arguments.json:
        print(json.dumps(ranking.to_dict()))
        return 0
    caption = (
        f"Share of the ratio's variance that each setting explains by itself: fANOVA on {ranking.runs:,} finished "
        f"runs, with the {ranking.interval}{' interval' if ranking.interval == '95%' else ''} of the runs drawn anew"
    )
    heading = ("Setting", "Importance", "95% interval" if ranking.interval == "95%" else "Range", "Values", "Scale")
    rows = [
        (f.factor, f"{f.importance:.3f}", f"{f.low:.3f} to {f.high:.3f}", str(f.values), f.scale)
        for f in ranking.factors
    ]
    notes = [f"Note: {ranking.note}."] if ranking.note else []
    print(render_grid(Grid(caption, heading, rows, notes), "text"))
    return 0
