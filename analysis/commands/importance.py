"""Rank the settings by their effect on the memorization ratio (fANOVA, with bootstrap intervals)."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="experiment folders, pooled")
    parser.add_argument("--resamples", type=int, default=20, help="bootstrap samples of the runs (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of forests and resampling (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Read, rank, print."""
    from analysis.commands.reading import aligned, read  # noqa: PLC0415
    from analysis.importance import rank  # noqa: PLC0415

    ranking = rank(read(options.paths), options.resamples, options.seed)
    if options.json:
        print(json.dumps(ranking.to_dict()))
        return
    rows = [
        (f.factor, f"{f.importance:.3f}", f"{f.low:.3f} to {f.high:.3f}", str(f.values), f.scale)
        for f in ranking.factors
    ]
    heading = ("setting", "importance", "95% interval", "values", "scale")
    print(aligned([heading, *rows], right=(1, 2, 3)))
    print(
        f"\nShare of the ratio's variance that each setting explains by itself, from {ranking.runs:,} finished runs "
        f"(fANOVA; intervals from {ranking.resamples} resamples of the runs)."
    )
    if ranking.note:
        print(f"Note: {ranking.note}.")
