"""`python -m analysis compare RUN_A RUN_B`."""

import argparse
import json
from pathlib import Path

from analysis.commands.reading import read_runs
from analysis.inference.comparison import Comparison, compare
from analysis.tables.comparison import differences_table, matches_table, settings_text
from analysis.tables.writers import write
from memo_core.errors import MemosweepError

MAX_LISTED = 20
"""Trials of one sweep only that are listed before the rest is counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `compare`."""
    parser.add_argument("run_a", metavar="RUN_A", help="the folder of a sweep, or its URL")
    parser.add_argument("run_b", metavar="RUN_B", help="another one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-cache", action="store_true", help="write nothing into the result folders")


def run(arguments: argparse.Namespace) -> int:
    """Read both, compare, print."""
    names = (arguments.run_a, arguments.run_b)
    if _place(names[0]) == _place(names[1]):
        raise MemosweepError(f"{names[0]} and {names[1]} are the same folder: give two sweeps")
    a, b = (read_runs(argparse.Namespace(paths=[name], no_cache=arguments.no_cache)) for name in names)
    answer = compare(a, b, names)
    print(json.dumps(answer.to_dict()) if arguments.json else as_text(answer))
    return 0


def _place(path: str) -> str:
    local = path.removeprefix("file://")
    return path.rstrip("/") if "://" in local else str(Path(local).resolve())


def as_text(answer: Comparison) -> str:
    """The comparison for a terminal."""
    parts = [f"A: {answer.a}\nB: {answer.b}", answer.conclusion]
    different = answer.differences
    parts.append(write(differences_table(answer)) if different else "No setting, version or commit differs.")
    if answer.matches:
        parts.append(write(matches_table(answer)))
    for name, only in (("A", answer.only_a), ("B", answer.only_b)):
        if only:
            listed = [f"  {settings_text(settings)}" for settings in only[:MAX_LISTED]]
            listed += [f"  and {len(only) - MAX_LISTED} more"] if len(only) > MAX_LISTED else []
            parts.append("\n".join([f"Only in {name}: {len(only)}", *listed]))
    for name, broken in zip("AB", answer.broken, strict=True):
        parts += [f"Left out of {name}: {line}." for line in broken]
    for name, count in zip("AB", answer.unfinished, strict=True):
        if count:
            parts.append(f"Left out of {name}: {count} unfinished or stopped early as they will not reach the target.")
    for name, count in zip("AB", answer.lower_bounds, strict=True):
        if count:
            parts.append(f"Lower bounds in {name}: {count} trials were stopped early on reaching the target.")
    if answer.matches:
        parts.append(f"{answer.method} Between training seeds the ratio spreads by {answer.spread}.")
    return "\n\n".join(parts)
