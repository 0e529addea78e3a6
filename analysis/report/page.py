"""From runs to the page."""

from collections.abc import Callable, Sequence

import jinja2
import pandas as pd

from analysis.inference.emm import emm_of_results
from analysis.inference.findings import Effect, Verdict, size_slope, verdicts
from analysis.inference.findings.verdict import ANSWERS
from analysis.inference.importance import RESAMPLES, rank
from analysis.inference.main_effects import contrasts
from analysis.inference.nothing_learned import nothing_learned
from analysis.report.figures import figure_blocks
from analysis.report.gallery import gallery
from analysis.report.headlines import ZETA, emm_headline, headlines, tiles
from analysis.report.overview import Overview, describe, opening, setting_text
from analysis.runs.effects import LOGIT, make_cells
from analysis.runs.factors import factor, title_of
from analysis.runs.final import NO_FINAL_RATIO
from analysis.runs.groups import short_titles
from analysis.runs.runs import Runs
from analysis.tables.effects import effects_table, importance_table, memorization_time_table
from analysis.tables.emm import emm_table
from analysis.tables.findings import measured
from analysis.tables.paper import paper_tables, tables_beside
from analysis.tables.prompts import prompts_tables
from analysis.tables.table import Table
from analysis.tables.trials import replication_table, trials_table
from analysis.tables.writers import write
from memo_core.errors import MemosweepError, plural

MAX_GROUPS = 8
"""Groups of runs of one factor whose EMMs are estimated, those with most settings."""
MAX_NAMED = 3
"""Trials that a note names; the others are counted."""
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
        draw: whether to draw figures and to rank the settings, which take most of the time.
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
    # Headlines rest on the trials that the findings rest on.
    networks, evidence = ended.networks.best, runs.evidence.networks.best
    spread = runs.seed_spread
    cells = make_cells(evidence, spread) if len(evidence) else None
    found, saturated = contrasts(cells) if cells is not None else ([], [])
    slope = size_slope(cells) if cells is not None else None
    estimates, emm_notes = emm_frame(ended.networks)
    answers = sorted(verdicts(runs), key=_rank)
    testable = [answer for answer in answers if answer.effect is not None]
    tables = [effects_table(found, saturated)]
    if draw:
        say("importances")
        tables += _importances(runs, resamples)
    say("tables")
    tables += [emm_table(estimates, emm_notes)] if len(estimates) else []
    tables += [memorization_time_table(runs), replication_table(runs)]
    tables += [table for known in paper_tables(ended) for table in tables_beside(known)]
    tables += prompts_tables(ended)
    tables.append(trials_table(runs))
    drawn, missing = figure_blocks(runs, say) if draw else ({"": []}, [])
    say("gallery")
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=title
            or _title(overview.sweeps[0].facts.get("Studied factor"), [sweep.name for sweep in overview.sweeps]),
            runs=overview,
            opening=opening(runs),
            notes=_notes(runs, overview, optimum=len(ended.best) - len(networks)),
            tiles=tiles(overview, networks),
            headlines=headlines(
                overview,
                evidence,
                found,
                slope,
                answers,
                spread,
                emm_headline(estimates, len(networks) - len(evidence)),
                nothing_learned(runs.networks.counted.evaluations),
                len(networks) - len(evidence),
            ),
            verdicts=testable,
            untestable=[answer for answer in answers if answer not in testable],
            answers=ANSWERS,
            counts={outcome: sum(answer.outcome == outcome for answer in testable) for outcome in ORDER},
            figures=drawn,
            missing_figures=missing,
            tables=[table for table in tables if table.rows or (table is tables[0] and saturated)],
            gallery=gallery(runs, overview),
            spread=spread,
        )
    )


def _notes(runs: Runs, overview: Overview, optimum: int) -> list[str]:
    """What a reader has to know before the numbers: which trials are left out, and which ratios are no final ones.

    Args:
        runs: of the report.
        overview: of the runs.
        optimum: finished runs of the closed-form optimum beside networks.
    """
    lines = [line.removeprefix("note: ") for line in runs.excluded()]
    finished = runs.finished.evaluations
    no_evidence = ~finished.index.to_series().isin(runs.evidence.evaluations.index)
    learning = runs.finished.where(no_evidence).best
    if len(learning):
        settings = [setting_text(row, overview.varied, overview.base) for _, row in learning.iterrows()]
        names = "; ".join(settings[:MAX_NAMED])
        names += f"; and {len(settings) - MAX_NAMED} more" if len(settings) > MAX_NAMED else ""
        lines.append(
            f"{plural(len(learning), 'trial')} had not begun to memorize: a ratio of 0, but samples that still came "
            f"nearer to the training images. {'It is' if len(learning) == 1 else 'They are'} left out of summary, "
            f"findings, effects and importances; EMMs, figures and the trial table take the 0 as it is: {names}"
        )
    if optimum:
        lines.append(
            f"{plural(optimum, 'run')} of the closed-form optimum, which no setting changes: only in the trial table "
            "and in the finding on it; effects, importances, EMMs and figures are of trained networks"
        )
    if not runs.is_finished.any():
        lines.insert(0, "No trial has finished yet: figures and tables show how far the trials have come")
    return [_sentence_case(line) for line in lines]


def emm_frame(runs: Runs) -> tuple[pd.DataFrame, list[str]]:
    """Return the EMMs of each factor as `python -m analysis emm` estimates them, with `key`, and what is left out.

    Empty where no group has two sizes with enough numbers. `runs` are those of trained networks.
    """
    parts, notes = [], []
    for key in (runs.factors or ["data.size"]) if len(runs.best) else []:
        found = [group for group in runs.groups(key) if len(group.runs.evaluations["data.size"].unique()) > 1]
        titles = short_titles(found, MAX_GROUPS)
        try:
            part = emm_of_results(found[:MAX_GROUPS], [ZETA], ["isotonic"]) if found else pd.DataFrame()
        except MemosweepError:  # fewer numbers than the estimators need
            continue
        if part.empty:
            continue
        parts.append(part.assign(key=key, among=[titles[place] for place in part["group"]]))
        if len(found) > MAX_GROUPS:
            left_out = plural(len(found) - MAX_GROUPS, "further group")
            notes.append(f"Left out of {factor(key).title}: {left_out} of runs with fewer settings.")
    return (pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()), notes


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


def environment() -> jinja2.Environment:
    """Return the templates, with the filters that they use."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report", "templates"),
        autoescape=jinja2.select_autoescape(("html", "html.j2")),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {
        "bar": bar,
        "title_of": title_of,
        "measured": measured,
        "html": lambda table: write(table, "html"),
        "sentences": sentences,
    }
    return made
