"""Say what differs between two sweeps, and whether their ratios differ beyond noise."""

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.comparison import Comparison

SHOWN = 20
"""Trials of one sweep only that are listed before the rest is counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_a", metavar="RUN_A", help="an experiment folder")
    parser.add_argument("run_b", metavar="RUN_B", help="another one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Read both, compare, print."""
    from analysis.commands.reading import read  # noqa: PLC0415
    from analysis.comparison import compare  # noqa: PLC0415

    answer = compare(read([options.run_a]), read([options.run_b]), (options.run_a, options.run_b))
    print(json.dumps(answer.to_dict()) if options.json else as_text(answer))


def as_text(answer: "Comparison") -> str:
    """The comparison for a terminal."""
    from analysis.commands.reading import aligned  # noqa: PLC0415

    parts = [f"A: {answer.a}\nB: {answer.b}", answer.conclusion]
    if answer.differences:
        rows = [("what differs", "A", "B"), *((d.what, _cut(d.a), _cut(d.b)) for d in answer.differences)]
        parts.append(aligned(rows))
    else:
        parts.append("No setting, version or commit differs.")
    if answer.matches:
        heading = ("setting", "A %", "B %", "B - A", "95% interval", "adjusted p", "beyond noise")
        lines = [
            (
                _settings(match.settings),
                f"{100 * match.ratio_a:.1f}",
                f"{100 * match.ratio_b:.1f}",
                f"{match.points:+.1f}",
                f"{match.points_low:+.1f} to {match.points_high:+.1f}",
                f"{match.p_adjusted:.2g}",
                "yes" if match.beyond_noise else "no",
            )
            for match in answer.matches
        ]
        parts.append(aligned([heading, *lines], right=(1, 2, 3, 4, 5)))
    for name, only in (("A", answer.only_a), ("B", answer.only_b)):
        if only:
            listed = [f"  {_settings(settings)}" for settings in only[:SHOWN]]
            listed += [f"  and {len(only) - SHOWN} more"] if len(only) > SHOWN else []
            parts.append("\n".join([f"Only in {name}: {len(only)}", *listed]))
    for name, count in zip("AB", answer.unfinished, strict=True):
        if count:
            parts.append(f"Left out of {name}: {count} unfinished.")
    parts.append(f"{answer.method} Between training seeds the ratio spreads by {answer.spread}.")
    return "\n\n".join(parts)


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items()) or "the only setting"


def _cut(text: str, width: int = 60) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
