"""What a sweep leaves behind: table, figure, gallery, and the last lines on the screen."""

import io
import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.emm.search.estimate import PAPER_GRID, emm_table
from analysis.emm.search.search import Search
from analysis.figures.catalog import pictured
from analysis.figures.emm import draw_emm, search_figure
from analysis.figures.factor import metric_over_factor, trials_over_factor
from analysis.figures.gallery import gallery, gallery_rows
from analysis.inference.emm import images_text
from analysis.inference.nothing_learned import nothing_learned
from analysis.results.store import open_location
from analysis.runs.factors import factor, inside_sentence, value_text
from analysis.runs.groups import group_titles
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError, plural
from sweeps.engine.plans.factor import family_of
from sweeps.engine.plans.manifest import Manifest
from sweeps.engine.plans.plan import OptunaOptions, Plan

_DOUBTS = {
    "extrapolated": ", extrapolated and not measured",
    "uncertain": ", which the sizes run do not enclose for sure",
}
_FIGURES = 4
_GALLERY_TRIALS = 6


def write_artifacts(run_path: str, manifest: Manifest, search: Search | None = None, is_whole: bool = True) -> None:
    """Write table.csv, table.parquet, figure and gallery into the run's folder, and say what was found.

    Args:
        run_path: folder or URL of the run.
        manifest: of the run.
        search: of an EMM search, as far as it is.
        is_whole: all trials have ended; before, nothing is advised from their ratios.
    """
    plan = manifest.plan
    try:
        runs = Runs.read(run_path)
    except MemosweepError:
        print("no trial has reached an evaluation, so there is no table", flush=True)
        return
    filesystem, path = open_location(run_path)
    written: list[str] = []

    def write(name: str, content: bytes) -> None:
        filesystem.pipe_file(f"{path}/{name}", content)
        written.append(name)

    def write_table(name: str, table: pd.DataFrame) -> None:
        write(f"{name}.csv", table.to_csv(index=False).encode())
        write(f"{name}.parquet", table.to_parquet(index=False))

    # The table has every evaluation with its trial's status; figure and findings leave half-trained trials out.
    write_table("table", runs.evaluations)
    # A search may so far have nothing but trials that it stopped below the target.
    parts = _parts(runs, plan)
    for number, (name, part) in enumerate(parts[:_FIGURES], 1):
        title = pictured(part, name)
        # A mean over the other keys that a search varies would be the ratio of no setting.
        if plan.search.kind == "optuna":
            figure = trials_over_factor(part, plan.factor.key, title, lowest=_minimizes(plan))
        else:
            figure = metric_over_factor(part, plan.factor.key, title=title)
        for kind in ("png", "pdf"):
            write(f"figure{f'_{number}' if number > 1 else ''}.{kind}", _render(figure, kind))
    rows = gallery_rows(runs, plan.varied, _GALLERY_TRIALS)
    if rows:
        write("gallery.png", _render(gallery(rows, title=pictured(runs, "")), "png"))
    if search is not None:
        # The paper has no grid of sizes on digits.
        table = emm_table(search.estimates(), PAPER_GRID if family_of(plan.preset) == "paper" else ())
        write_table("emm", table)
        # Where every training diverged, nothing was observed.
        if table["trainings"].any():
            write(
                "emm.png",
                _render(draw_emm(search_figure(search), title=pictured(runs, f"EMM by {_title(plan)}")), "png"),
            )
    for line in findings(runs, plan) if search is None else emm_findings(search):
        print(line)
    advice = nothing_learned(runs.networks.counted.evaluations) if is_whole else None
    if advice is not None:
        print(advice)
    if len(parts) > _FIGURES:
        print(f"{plural(len(parts) - _FIGURES, 'further figure')}: python -m analysis figures {shlex.quote(run_path)}")
    print(f"results in {run_path}: {', '.join(written)}", flush=True)


def emm_findings(search: Search) -> list[str]:
    """The EMM of each value with its interval, and what it cost."""
    return [_emm_line(row) for row in emm_table(search.estimates()).to_dict("records")]


def _emm_line(row: Mapping[Any, Any]) -> str:
    if row["trainings"] == 0:
        return f"{row['value']}: no EMM, since no training of it has ended with a ratio"
    sign = {"lower_bound": "at least ", "upper_bound": "below "}.get(row["kind"], "")
    interval = "" if sign else f" (95%: {images_text(row['emm_low'])} to {images_text(row['emm_high'])})"
    doubt = _DOUBTS.get(row["kind"], "")
    strange = f"; the ratio rises with |D| at {row['non_monotone']}" if row["non_monotone"] else ""
    trainings = "1 training" if row["trainings"] == 1 else f"{row['trainings']} trainings"
    # In units of a bound, the cost would say nothing.
    cost = "" if sign else f", {row['cost_in_emms']:.1f} times the EMM"
    return (
        f"{row['value']}: EMM {sign}{images_text(row['emm'])}{interval}{doubt}, from {trainings} whose sizes add up to "
        f"{row['images_trained']:,.0f} images{cost}{strange}"
    )


def findings(runs: Runs, plan: Plan) -> list[str]:
    """The highest ratio of each trial, a line per size; where the size itself is studied, one line.

    Trials that differ in more than the factor, |D| and seeds, such as those of two depths, have lines of their own.
    """
    if runs.best.empty:
        return ["no trial has a memorization ratio yet"]
    if plan.search.kind == "optuna":
        return [_extreme(runs.best, plan)]
    lines = []
    for title, part in _parts(runs, plan):
        about = f"{title}  " if title else ""
        if plan.factor.key == "data.size":
            lines.append(f"{about}memorization ratio by |D|  {_numbers(part.best, plan.factor.key)}")
            continue
        for size, rows in part.best.groupby("data.size"):
            numbers = _numbers(rows, plan.factor.key)
            lines.append(f"{about}|D| = {size:,}  memorization ratio by {_title(plan)}  {numbers}")
    return lines


def _minimizes(plan: Plan) -> bool:
    return isinstance(plan.search, OptunaOptions) and plan.search.direction == "min"


def _extreme(runs: pd.DataFrame, plan: Plan) -> str:
    """The trial that an Optuna search looked for."""
    run = runs.sort_values("memorization_ratio", ascending=_minimizes(plan), kind="stable").iloc[0]
    setting = ", ".join(f"{key} = {value_text(key, run[key])}" for key in plan.varied)
    low, high = 100 * run["memorization_ratio_low"], 100 * run["memorization_ratio_high"]
    word = "lowest" if _minimizes(plan) else "highest"
    return (
        f"{word} memorization ratio of {plural(len(runs), 'trial')}: {100 * run['memorization_ratio']:.1f}% "
        f"(95%: {low:.1f} to {high:.1f}%) at {setting}"
    )


def _numbers(runs: pd.DataFrame, key: str) -> str:
    entries = runs.sort_values(key, na_position="first").groupby(key, dropna=False, sort=False)["memorization_ratio"]
    return "  ".join(f"{value_text(key, value)}: {100 * ratio:.1f}%" for value, ratio in entries.mean().items())


def _title(plan: Plan) -> str:
    return inside_sentence(factor(plan.factor.key).title)


def _parts(runs: Runs, plan: Plan) -> list[tuple[str, Runs]]:
    """Return the trials of each figure, titled by what distinguishes them; a search over ranges is one part."""
    if runs.counted.evaluations.empty:
        return []
    if plan.search.kind == "optuna":
        return [("", runs)]
    found = runs.groups(plan.factor.key, min_values=1)
    return list(zip(group_titles(found), (group.runs for group in found), strict=True))


def _render(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=160)
    return buffer.getvalue()
