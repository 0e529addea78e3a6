"""`python -m analysis predict PATH... --set KEY=VALUE...`: the ratio to expect at a setting that nobody ran."""

import argparse
import json

from analysis.commands.reading import add_paths, read_runs
from analysis.inference.prediction import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    add_paths(parser)
    parser.add_argument("--set", action="append", required=True, default=[], metavar="KEY=VALUE",
                        help="the setting asked about, such as --set model.width=192 --set data.size=3000")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Fit all runs, and answer."""
    answer = ask(read_runs(arguments), arguments.set)
    print(json.dumps(answer.record(), allow_nan=False) if arguments.json else "\n".join(answer.lines()))
    return 0
