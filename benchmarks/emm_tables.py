"""The tables of the EMM benchmark as Markdown, and the files that keep them."""

import json
from collections.abc import Mapping
from pathlib import Path

Row = dict[str, float | None]
"""A number for each column of a table."""

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "emm_cost.json"
PAGE = HERE.parent / "docs" / "emm-benchmark.md"
HEADINGS = {
    "median_error": "median error",
    "error_95": "95% of errors",
    "mean_trainings": "trainings",
    "mean_rounds": "rounds",
    "cost_in_emms": "cost (EMMs)",
    "bisection_cost_in_emms": "bisection (EMMs)",
    "paper_grid_cost_in_emms": "paper's grid (EMMs)",
    "cost_over_bisection": "images over bisection's",
    "early_stops": "early stops",
    "false_stop_rate": "false stops",
    "stopped_early": "stopped early",
    "budget_saved": "budget saved of those",
    "emm_true": "true EMM",
}
SHARES = {"median_error", "error_95", "coverage", "false_stop_rate", "stopped_early", "budget_saved"}
HIDDEN = {"replays", "images"}
INTRODUCTION = """# EMM: measured cost and coverage

Written by `python -m benchmarks.emm_cost --write`{replays}; [EMM](emm.md) explains the search, [the
method](emm-method.md) its equations.

Simulated trainings: the true ratio at the proposed size, changed by a normal 0.08 in its logit (+-0.7 points at
90%: more than the paper's three seeds, 0.2 points, and less than laptop runs of 500 samples, 3 points), of which
10,000 samples are counted. Sizes 100 to 50,000, target 0.9, tolerance 0.1. With early stops, trials are evaluated
16 times by the rules of a real one, sequential sampling included, and their logits grow as g ln u - h (ln u)^2 over
the share u of the budget (`published`: g in 2..5, h in 0..2; `steep`: 4..9, 0..4), as a (u - 1) (`late`: a in
4..12) or as 4 ln((u - v) / (1 - v)) (`sudden`: v in 0.3..0.6). Costs are images trained, times the share of the
budget spent, in units of the true EMM, or of the limit by which a curve leaves the sizes. `coverage` is the share
of 95% intervals that hold the truth (for bounds: of right bounds). The plain bisection halves the range in ln size,
takes each ratio as exact, and trains an end that it closes onto. "Anywhere" means an EMM from 300 to 15,000,
uniform in its logarithm; the unfriendly curves cross at 2,000, near the first size of a bisection, 2,236, which is
its best case.
"""


def to_markdown(suites: Mapping[str, Mapping[str, Row]]) -> str:
    """Return one table for each suite."""
    lines = []
    for suite, rows in suites.items():
        columns = [c for c in dict.fromkeys(column for row in rows.values() for column in row) if c not in HIDDEN]
        lines += [f"## {suite[0].upper()}{suite[1:]}", ""]
        lines += ["| curve | " + " | ".join(HEADINGS.get(column, column) for column in columns) + " |"]
        lines += ["|---" * (len(columns) + 1) + "|"]
        for name, row in rows.items():
            lines.append(f"| {name} | " + " | ".join(_cell(column, row.get(column)) for column in columns) + " |")
        lines.append("")
    return "\n".join(lines)


def write_results(suites: Mapping[str, Mapping[str, Row]], results: Path = RESULTS, page: Path = PAGE) -> None:
    """Write the numbers as JSON and the tables as a page of the documentation."""
    results.write_text(json.dumps(suites, indent=2, allow_nan=False) + "\n")
    counts = {int(row["replays"] or 0) for rows in suites.values() for row in rows.values() if "replays" in row}
    replays = f" (up to {max(counts):,} searches a row)" if counts else ""
    page.write_text(INTRODUCTION.format(replays=replays) + "\n" + to_markdown(suites).rstrip("\n") + "\n")


def _cell(column: str, number: float | None) -> str:
    if number is None:
        return "-"
    if column in SHARES:
        return f"{number:.1%}"
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.2f}"
