"""`python -m analysis emm PATH...`: the effective model memorization of each factor value."""

import argparse
import json
import math
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.commands.reading import add_paths, check_zeta, read_runs, write_text, writing
from analysis.emm.estimate import METHODS, Method
from analysis.emm.kinds import KINDS
from analysis.figures.emm import EmmFigureData, draw_emm, emm_by_zeta
from analysis.inference.emm import (
    SIZE,
    comparable_runs,
    curves_of_results,
    emm_notes,
    emm_of_results,
    find_factor,
)
from analysis.runs.factors import dataset_title, factor, inside_sentence, value_label
from analysis.runs.groups import Group, group_titles, once_a_seed
from analysis.runs.runs import Runs
from analysis.tables.emm import emm_table
from analysis.tables.writers import write
from memo_core.errors import MemosweepError, plural

FORMATS = ("text", "csv", "json", "markdown")
FIGURES = (".png", ".pdf", ".svg")
ALL = "all"
MAX_FIGURES = 4
"""Groups of runs that are drawn, a figure each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `emm`."""
    add_paths(parser)
    parser.add_argument("--factor", metavar="KEY",
                        help="an EMM for each value of it, such as model.width; default: what varies")  # fmt: skip
    parser.add_argument("--zeta", type=float, nargs="+", default=[0.1], metavar="Z",
                        help="the ratio at the EMM is 1 - zeta; several for Fig. 22; default: 0.1")  # fmt: skip
    parser.add_argument("--method", choices=(*METHODS, ALL), default=METHODS[0],
                        help="isotonic: interpolation, the number to quote; logistic: a line of logits with a slope "
                        "that all values share; all: both; default: %(default)s")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--out", metavar="FILE", help="write there instead of printing")
    parser.add_argument("--figure", metavar="FILE.png", type=Path,
                        help="ratio over size with the crossings; EMM by zeta (Fig. 22) for several zeta")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Estimate, print or write the table, draw the figure."""
    for zeta in arguments.zeta:
        check_zeta(zeta)
    if arguments.figure is not None and arguments.figure.suffix not in FIGURES:
        raise MemosweepError(f"--figure {arguments.figure}: expected a file ending in {', '.join(FIGURES)}")
    zetas = list(dict.fromkeys(arguments.zeta))
    runs = read_runs(arguments)
    key = find_factor(runs, arguments.factor)
    found = comparable_runs(runs, key)
    methods: tuple[Method, ...] = METHODS if arguments.method == ALL else (arguments.method,)
    estimates = emm_of_results(found, zetas, methods)
    notes = [*emm_notes(estimates, runs, found, methods), *_searched(runs, zetas)]
    if arguments.figure is not None:
        _draw(arguments.figure, found, estimates, zetas, methods[0])
    if arguments.format == "csv":
        text = estimates.to_csv(index=False).rstrip("\n")
    elif arguments.format == "json":
        record = {"factor": key, "rows": _records(estimates), "kinds": KINDS, "notes": notes}
        text = json.dumps(record, indent=1, default=lambda value: value.item())
    else:
        text = write(emm_table(estimates.assign(key=key), notes), arguments.format)
    write_text(text, arguments.out)
    return 0


def _searched(runs: Runs, zetas: list[float]) -> list[str]:
    """What the table does not say of folders that a search wrote."""
    searches = [sweep for sweep in runs.sweeps.values() if sweep.get("search") == "bisect"]
    if not searches:
        return []
    lines = [
        "a search wrote these results: its own estimate, emm.csv in its folder, also takes into account which ratios "
        "are lower bounds and what is usual for slopes and training seeds"
    ]
    targets = {round(search["zeta"], 6) for search in searches if "zeta" in search} - set(zetas)
    if targets:
        lines.append(f"the search looked for zeta = {', '.join(f'{zeta:g}' for zeta in sorted(targets))}: see --zeta")
    return lines


def _records(estimates: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Rows as JSON knows them: an open side of an interval, and what is undefined, is null."""
    known = estimates.notna() & ~estimates.isin([math.inf, -math.inf])
    return estimates.astype(object).where(known, None).to_dict("records")


def _draw(file: Path, found: Sequence[Group], estimates: pd.DataFrame, zetas: list[float], method: Method) -> None:
    """Write a figure for each of the first groups, and say on stderr which file shows which runs."""
    titles = group_titles(found)
    for place, (group, title) in enumerate(zip(found[:MAX_FIGURES], titles, strict=False)):
        name = file if place == 0 else file.with_stem(f"{file.stem}_{place + 1}")
        figure = _figure(group, estimates[estimates["group"] == place], zetas, method)
        with writing(f"--figure {name}"):
            figure.savefig(name, dpi=160)
        if len(found) > 1:
            print(f"{name}: runs with {title}", file=sys.stderr)
    if len(found) > MAX_FIGURES:
        further = plural(len(found) - MAX_FIGURES, "further group")
        print(f"not drawn: {further} of runs; those with most settings are drawn", file=sys.stderr)


def _figure(group: Group, estimates: pd.DataFrame, zetas: list[float], method: Method) -> Figure:
    """The figure of one group's estimates by one method."""
    chosen = estimates[estimates["method"] == method]
    heading = ", ".join(filter(None, (dataset_title(group.runs.evaluations), group.title)))
    if len(zetas) > 1:
        # One mark per value and zeta.
        sizes = sorted(set(group.runs.evaluations[SIZE]))
        return emm_by_zeta(chosen[chosen["kind"] != "extrapolated"], group.key, sizes, heading)
    about = factor(group.key).title if group.key != SIZE else ""

    def named(values: pd.Series) -> list[str]:
        return ["all runs" if group.key == SIZE else value_label(group.key, value) for value in values]

    runs = once_a_seed(group.runs.best)
    points = runs.rename(columns={SIZE: "size", "memorization_ratio": "ratio"})[["size", "ratio", "num_samples"]]
    curves = curves_of_results(group, method)
    data = EmmFigureData(
        points.assign(value=named(runs[group.key])),
        curves.assign(value=named(curves["value"])),
        chosen.assign(value=named(chosen["value"])),
        1 - zetas[0],
    )
    return draw_emm(
        data, ": ".join(filter(None, ("EMM" + (f" by {inside_sentence(about)}" if about else ""), heading)))
    )
