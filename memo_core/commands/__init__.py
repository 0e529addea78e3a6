"""The commands of `python -m memo_core`, one module each."""

from collections.abc import Sequence

from memo_core.command_line import run
from memo_core.commands import data, export, measure, optimum, sample, train
from memo_core.terminal import Parser

COMMANDS = {
    "train": train,
    "sample": sample,
    "measure": measure,
    "optimum": optimum,
    "data": data,
    "export": export,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = Parser(prog="python -m memo_core", description="One experiment, without Ray.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        module.add_arguments(subparsers.add_parser(name, help=summary, description=summary))
    options = parser.parse_args(arguments)
    return run(lambda: COMMANDS[options.command].run(options))
