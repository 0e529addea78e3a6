"""`python -m analysis compare RUN_A RUN_B`."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.commands.reading import read_runs
from analysis.errors import AnalysisError
from analysis.inference.comparison import Comparison, Match, compare
from analysis.runs.factors import ratio_text
from analysis.runs.settings import CONDITIONAL
from analysis.tables.render import Grid, render_grid

SHOWN = 20
"""Trials of one sweep only that are listed before the rest is counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `compare`."""
    parser.add_argument("run_a", metavar="RUN_A", help="a Tune experiment folder, or its URL")
    parser.add_argument("run_b", metavar="RUN_B", help="another one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-cache", action="store_true", help="write nothing into the result folders")


def run(arguments: argparse.Namespace) -> int:
    """Read both, compare, print."""
    names = (arguments.run_a, arguments.run_b)
    if _place(names[0]) == _place(names[1]):
        raise AnalysisError(f"{names[0]} and {names[1]} are the same folder: give two sweeps")
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
    if answer.differences:
        rows = [(d.what, _cut(d.a), _cut(d.b)) for d in answer.differences]
        parts.append(render_grid(Grid("What differs", ("", "A", "B"), rows), "text"))
    else:
        parts.append("No setting, version or commit differs.")
    if answer.matches:
        heading = ("Setting", "A (%)", "B (%)", "B - A", "95% interval", "Adjusted p", "Beyond noise")
        lines = [
            (
                _settings(match.settings),
                ratio_text(100 * match.ratio_a, match.bound_a, 1),
                ratio_text(100 * match.ratio_b, match.bound_b, 1),
                f"{match.points:+.1f}",
                f"{match.points_low:+.1f} to {match.points_high:+.1f}",
                f"{match.p_adjusted:.2g}",
                _answer(match),
            )
            for match in answer.matches
        ]
        parts.append(render_grid(Grid("Matched settings", heading, lines), "text"))
    for name, only in (("A", answer.only_a), ("B", answer.only_b)):
        if only:
            listed = [f"  {_settings(settings)}" for settings in only[:SHOWN]]
            listed += [f"  and {len(only) - SHOWN} more"] if len(only) > SHOWN else []
            parts.append("\n".join([f"Only in {name}: {len(only)}", *listed]))
    for name, broken in zip("AB", answer.broken, strict=True):
        parts += [f"Left out of {name}: {line}." for line in broken]
    for name, count in zip("AB", answer.unfinished, strict=True):
        if count:
            parts.append(f"Left out of {name}: {count} unfinished or stopped early as they will not reach the target.")
    for name, count in zip("AB", answer.lower_bounds, strict=True):
        if count:
            parts.append(f"Lower bounds in {name}: {count} trials were stopped early on reaching the target.")
    parts.append(f"{answer.method} Between training seeds the ratio spreads by {answer.spread}.")
    return "\n\n".join(parts)


def _answer(match: Match) -> str:
    if match.same_training:
        return "no: the same training"
    if match.saturated:
        return "unknown: both at the same end"
    if match.beyond_noise:
        return "yes"
    return "unknown: a lower bound" if match.bound_a or match.bound_b else "no"


def _settings(settings: Mapping[str, Any]) -> str:
    told = {key: value for key, value in settings.items() if value is not None or key not in CONDITIONAL}
    return ", ".join(f"{key}={'none' if value is None else value}" for key, value in told.items()) or "the only setting"


def _cut(text: str, width: int = 60) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
