"""From runs to the page."""

from collections.abc import Callable, Sequence

import jinja2
import pandas as pd

from analysis.inference.emm import emm_of_results
from analysis.inference.findings import Effect, Verdict, size_slope, verdicts
from analysis.inference.findings.verdict import ANSWERS
from analysis.inference.importance import RESAMPLES, rank
from analysis.inference.main_effects import contrasts
from analysis.report.figures import figure_blocks
from analysis.report.gallery import gallery
from analysis.report.headlines import ZETA, emm_headline, headlines, tiles
from analysis.report.overview import describe
from analysis.runs.effects import LOGIT, make_cells
from analysis.runs.factors import title_of
from analysis.runs.final import NO_FINAL_RATIO
from analysis.runs.groups import short_titles
from analysis.runs.runs import Runs
from analysis.tables.effects import effects_table, importance_table, memorization_time_table
from analysis.tables.emm import emm_table
from analysis.tables.findings import measured
from analysis.tables.paper import cell_tables, paper_tables
from analysis.tables.table import Table, plural
from analysis.tables.trials import replication_table, trials_table
from analysis.tables.writers import write
from memo_core.errors import MemosweepError

REACH = 5.0
"""Logits at the ends of the small interval plots."""
ORDER = {"supported": 0, "contradicted": 1, "undecided": 2}


def build(
    runs: Runs,
    title: str = "",
    resamples: int = RESAMPLES,
    draw: bool = True,
    say: Callable[[str], object] = str,
) -> str:
    """The report as one HTML document that fetches nothing.

    Args:
        runs: of any number of sweeps.
        title: the heading; the experiments' names where not given.
        resamples: of the runs, for the intervals of importances.
        draw: whether to draw figures, which takes most of the time.
        say: called with what is being done, in a few words.

    Raises:
        MemosweepError: there is no evaluation at all, or all trials were stopped early as they will not reach a target.
    """
    if runs.evaluations.empty:
        raise MemosweepError("no trial has reported yet: nothing to write about")
    # The best ratio of half a training would stand beside those of whole ones; with nothing finished, show what is.
    if runs.counted.evaluations.empty:
        raise MemosweepError(NO_FINAL_RATIO)
    say("effects and verdicts")
    overview = describe(runs)
    ended = runs.finished
    best = ended.networks.best
    spread = runs.seed_spread
    cells = make_cells(best, spread) if len(best) else None
    found, saturated = contrasts(cells) if cells is not None else ([], [])
    slope = size_slope(cells) if cells is not None else None
    estimates = emm_frame(ended.networks)
    answers = sorted(verdicts(runs), key=_rank)
    tables = [effects_table(found, saturated)]
    say("importances")
    tables += _importances(runs, resamples)
    say("tables")
    tables += [emm_table(estimates)] if len(estimates) else []
    tables += [memorization_time_table(runs), replication_table(runs)]
    tables += [table for known in paper_tables(ended) for table in cell_tables(known)]
    tables.append(trials_table(runs))
    drawn, missing = figure_blocks(runs, say) if draw else ({"": []}, [])
    say("gallery")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title
            or _title(overview.sweeps[0].facts.get("Studied factor"), [sweep.name for sweep in overview.sweeps]),
            runs=overview,
            notes=_notes(runs, optimum=len(ended.best) - len(best)),
            tiles=tiles(overview, best),
            headlines=headlines(overview, best, found, slope, answers, spread, emm_headline(estimates)),
            verdicts=answers,
            answers=ANSWERS,
            counts={outcome: sum(answer.outcome == outcome for answer in answers) for outcome in ORDER},
            figures=drawn,
            missing_figures=missing,
            tables=[table for table in tables if table.rows or (table is tables[0] and saturated)],
            gallery=gallery(runs, overview),
            spread=spread,
        )
    )


def _notes(runs: Runs, optimum: int) -> list[str]:
    """What a reader has to know before the numbers: which trials are left out, and which ratios are no final ones.

    Args:
        runs: of the report.
        optimum: finished runs of the closed-form optimum beside networks.
    """
    lines = [line.removeprefix("note: ") for line in runs.excluded()]
    if optimum:
        lines.append(
            f"{plural(optimum, 'run')} of the closed-form optimum, which no setting moves: in the trial table and in "
            "the finding on it; effects, importances, EMMs and figures are of trained networks"
        )
    if not runs.is_finished.any():
        lines.insert(0, "No trial has finished yet: figures and tables show how far the trials have come")
    return [_sentence_case(line) for line in lines]


def emm_frame(runs: Runs) -> pd.DataFrame:
    """Return the EMMs of each factor's largest group, as `python -m analysis emm` estimates them, with `key`.

    Empty where no group has two sizes with enough numbers. `runs` are those of trained networks.
    """
    parts = []
    for key in (runs.factors or ["data.size"]) if len(runs.best) else []:
        found = runs.groups(key)
        if not found or len(found[0].runs.evaluations["data.size"].unique()) < 2:
            continue
        try:
            part = emm_of_results(found[:1], [ZETA])
        except MemosweepError:  # fewer numbers than the estimators need
            continue
        parts.append(part.assign(key=key, among=short_titles(found, len(found))[0]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _rank(verdict: Verdict) -> tuple[int, bool]:
    """Decided findings first, then those with some data; otherwise the paper's order."""
    return ORDER[verdict.outcome], verdict.effect is None


def _title(factor: str | None, names: list[str]) -> str:
    if len(names) == 1 and factor:
        return f"{factor.replace('_', ' ').capitalize()} and memorization"
    return "Memorization in diffusion models" if len(names) > 3 else " · ".join(names)


def _importances(runs: Runs, resamples: int) -> list[Table]:
    """Return their table where there are enough runs over two settings at least."""
    try:
        ranking = rank(runs, resamples)
    except MemosweepError:
        return []
    return [importance_table(ranking)] if len(ranking.factors) > 1 else []


def bar(effect: Effect | None) -> dict[str, float] | None:
    """Return the places of an effect in logits on its small plot, 0..100 with zero at 50; None in other units."""
    if effect is None or effect.unit != LOGIT:
        return None
    ends = {"low": effect.low, "high": effect.high, "value": effect.value}
    return {name: 50 + 50 * min(max(value / REACH, -1.0), 1.0) for name, value in ends.items()}


def sentences(notes: Sequence[str]) -> str:
    """Return the notes of a table as one paragraph."""
    return " ".join(f"{_sentence_case(note).rstrip('.')}." for note in notes)


def _sentence_case(text: str) -> str:
    """Return a text with a capital in front, unless its first word has its own (kNN)."""
    return text if text[1:2].isupper() else f"{text[:1].upper()}{text[1:]}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report", "templates"),
        autoescape=jinja2.select_autoescape(("html", "html.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "bar": bar,
        "title_of": title_of,
        "measured": measured,
        "html": lambda table: write(table, "html"),
        "sentences": sentences,
    }
    return environment
