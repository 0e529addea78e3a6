"""The command line of `python -m analysis`."""

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from analysis.commands import COMMANDS
from memo_core.errors import MemosweepError
from memo_core.terminal import Parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code, see `memo_core.terminal.run`."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="python -m analysis", description="Tables and figures from result folders, without torch or ray."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, line in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=line, description=line)
        if name in given[:1]:
            _module(name).add_arguments(subparser)
    arguments = parser.parse_args(given)
    name = arguments.command
    return run(lambda: _module(name).run(arguments), MemosweepError, f"python -m analysis {name}")


def _module(name: str) -> ModuleType:
    return import_module(f"analysis.commands.{name}")
