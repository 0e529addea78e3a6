"""The report's first sentences, computed from the data."""

import math
from collections.abc import Sequence

import pandas as pd

from analysis.inference.emm import images_text
from analysis.inference.findings import Effect, SeedSpread, Verdict
from analysis.inference.main_effects import Change
from analysis.report.overview import Overview, setting_text
from analysis.runs.effects import odds_text
from analysis.runs.factors import factor, inside_sentence, ratio_text, title_of, value_text
from analysis.runs.final import is_lower_bound
from analysis.tables.table import duration
from memo_core.errors import plural

ZETA = 0.1
"""Of the page's EMMs: the paper's."""
PAPER_SLOPE = -2.9
"""Logits per ln|D| in the paper's Table 4."""
MAX_EMMS = 8
"""EMMs in the sentence; further ones stand in the table."""


def headlines(
    overview: Overview,
    best: pd.DataFrame,
    changes: Sequence[Change],
    slope: Effect | None,
    verdicts: Sequence[Verdict],
    spread: SeedSpread,
    further: Sequence[str] = (),
    unlearned: str | None = None,
    left_out: int = 0,
) -> list[str]:
    """Return sentences, the most important first.

    Args:
        overview: what was run.
        best: a row per run that the findings rest on, its best evaluation.
        changes: of the ratio with each setting.
        slope: logits per ln|D|.
        verdicts: on the paper's findings.
        spread: of training seeds.
        further: such as the EMMs.
        unlearned: what to say where nothing was memorized: no setting is then the highest or the strongest.
        left_out: finished runs that are not in `best`, since they had not begun to memorize.
    """
    if unlearned is not None:
        return [f"{unlearned[:1].upper()}{unlearned[1:]}.", _findings(verdicts)]
    return [
        *([_range(best, overview, left_out)] if len(best) else []),
        *([_strongest(changes, slope, overview)] if changes else []),
        *([_size(slope)] if slope is not None else []),
        *further,
        _findings(verdicts),
        *([_seeds(spread)] if len(best) else []),
    ]


def _seeds(spread: SeedSpread) -> str:
    return (
        f"Another training seed changes a ratio near 50% by about {spread.points:.1f} points (standard deviation, "
        f"{spread.basis})."
    )


def _range(best: pd.DataFrame, overview: Overview, left_out: int) -> str:
    ordered = best.sort_values("memorization_ratio", kind="stable")
    low, high = ordered.iloc[0], ordered.iloc[-1]
    interval = f"{100 * high['memorization_ratio_low']:.1f} to {100 * high['memorization_ratio_high']:.1f}%"
    if is_lower_bound(high):
        interval = f"from {100 * high['memorization_ratio_low']:.1f}% on"
    text = (
        f"The highest memorization ratio, the share of generated samples that copy a training image, is {_ratio(high)} "
        f"(95% interval: {interval}), at {setting_text(high, overview.varied, overview.base)}"
    )
    if len(best) > 1:
        where = setting_text(low, overview.varied, overview.base)
        text += f"; the lowest is {_ratio(low)}, at {where}"
    if left_out:
        text += f" (without {plural(left_out, 'trial')} that had not begun to memorize, see below)"
    return f"{text}."


def _ratio(run: pd.Series) -> str:
    return f"{'at least ' if is_lower_bound(run) else ''}{100 * run['memorization_ratio']:.1f}%"


def _strongest(changes: Sequence[Change], slope: Effect | None, overview: Overview) -> str:
    """The setting with the largest change that is beyond noise; |D| has a sentence of its own."""
    others = [change for change in changes if change.key != "data.size"]
    if not others:
        if set(overview.varied) - {"data.size", "seed", "data.seed"}:
            return "No setting but |D| can be compared: no two of these trials differ in one other setting alone."
        return "Only the size of the training set, |D|, varies in these runs."
    clear = [change for change in others if change.is_clear]
    if not clear:
        but = " but |D|" if slope is not None and _is_clear(slope) else ""
        return f"No setting{but} changes the ratio by more than noise in these runs ({_looks(changes)})."
    # By the end of the interval that is nearer to zero: what is sure of the effect.
    most = max(clear, key=lambda change: min(abs(change.effect.low), abs(change.effect.high)))
    first = most.key.split(" + ")[0]
    before, after = value_text(first, most.before), value_text(first, most.after)
    effect = most.effect
    points = f"changes by {effect.points[0]:+.1f} points" if effect.points else "changes"
    odds, low, high = map(odds_text, (effect.value, effect.low, effect.high))
    text = (
        f"The strongest effect beside |D| is that of {inside_sentence(title_of(most.key))}: from {before} to {after} "
        f"the ratio {points}, its odds by a factor of {odds} (95% interval: {low} to {high}), all else equal"
    )
    return f"{text} (at {plural(effect.comparisons, 'setting')}; {_looks(changes)})."


def _looks(changes: Sequence[Change]) -> str:
    if len(changes) == 1:
        return "one comparison was made"
    return f"the test allows for all {len(changes):,} comparisons"


def _is_clear(effect: Effect) -> bool:
    return effect.low > 0 or effect.high < 0


def _size(slope: Effect) -> str:
    double = [math.exp(math.log(2) * value) for value in (slope.value, slope.low, slope.high)]
    unclear = "" if _is_clear(slope) else "; as this includes 1, there may be no effect"
    return (
        "Doubling |D|, the number of training images, multiplies the odds that a sample is a copy by "
        f"{double[0]:.2g} (95% interval: {double[1]:.2g} to {double[2]:.2g}{unclear}); in the paper's Table 4 it is "
        f"{math.exp(math.log(2) * PAPER_SLOPE):.2g}."
    )


def emm_headline(estimates: pd.DataFrame, zeros: int = 0) -> list[str]:
    """The EMMs of the factor with most measured ones in a sentence: numbers with their intervals, and bounds.

    Of several groups of runs the one with most settings; the others are counted.

    Args:
        estimates: of `analysis.report.page.emm_frame`.
        zeros: trials among them that had not begun to memorize, of which the sentence says what they count as.
    """
    if estimates.empty:
        return []
    # One row a value: the interpolated crossing, or the bound in its place.
    known = estimates[(estimates["method"] == "isotonic") & (estimates["kind"] != "extrapolated")]
    if known.empty:
        return []
    crossing = known["kind"].isin(["measured", "uncertain"])
    key = (known[crossing] if crossing.any() else known)["key"].value_counts().index[0]
    of_key = known[known["key"] == key]
    groups = of_key["group"].unique()
    chosen = of_key[of_key["group"] == groups[0]]
    texts: dict[str, list[str]] = {}
    for _, row in chosen.iterrows():
        value = "" if key == "data.size" else value_text(key, row["value"])
        texts.setdefault(_emm_text(row), []).append(value)
    parts = [f"{number} at {', '.join(values)}" if any(values) else number for number, values in texts.items()]
    more = f"; and {len(parts) - MAX_EMMS} more in the table" if len(parts) > MAX_EMMS else ""
    among = str(chosen["among"].iloc[0])
    name = "" if key == "data.size" else f" by {inside_sentence(factor(key).title)}"
    others = plural(len(groups) - 1, "further group")
    name += f" ({among}; {others} in the table)" if len(groups) > 1 else f" ({among})" if among else ""
    level = f"{100 * (1 - ZETA):g}%"
    sentence = (
        f"The EMM (effective model memorization: the largest |D| at which {level} of the samples are still copies)"
        f"{name}, in training images: {'; '.join(parts[:MAX_EMMS])}{more}."
    )
    if not (chosen["kind"] == "measured").any():
        sentence += f" To measure it, run sizes whose ratios lie clearly above and clearly below {level}."
    if zeros:
        counts = "counts" if zeros == 1 else "count"
        sentence += f" Here {plural(zeros, 'trial')} that had not begun to memorize {counts} as 0%."
    return [sentence]


def _emm_text(row: pd.Series) -> str:
    """An EMM as a sentence says it."""
    if row["kind"] == "upper_bound":
        return f"below {images_text(row['emm'])}"
    if row["kind"] == "lower_bound":
        return f"at least {images_text(row['emm'])}"
    low, high = images_text(row["emm_low"]), images_text(row["emm_high"])
    doubt = ", uncertain" if row["kind"] == "uncertain" else ""
    return f"{images_text(row['emm'])} (95%: {low} to {high}{doubt})"


def _findings(verdicts: Sequence[Verdict]) -> str:
    supported, contradicted = (
        [verdict.id for verdict in verdicts if verdict.outcome == outcome] for outcome in ("supported", "contradicted")
    )
    testable = len([verdict for verdict in verdicts if verdict.effect is not None])
    if not testable:
        return f"These runs can test none of the paper's {len(verdicts)} findings."
    undecided = testable - len(supported) - len(contradicted)
    parts = [
        *([f"{len(supported)} supported"] if supported else []),
        *([f"{len(contradicted)} contradicted ({', '.join(contradicted)})"] if contradicted else []),
        *([f"{undecided} undecided, as the data are too few"] if undecided else []),
    ]
    return f"These runs can test {testable} of the paper's {len(verdicts)} findings: {', '.join(parts)}."


def _compact(value: float) -> str:
    """A large count for a tile: 18.3 k, 2.5 M."""
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {suffix}"
    return f"{value:.3g}"


def tiles(overview: Overview, best: pd.DataFrame) -> list[tuple[str, str]]:
    """Numbers at the top of the page: (value, what it is)."""
    top = "none"
    if len(best):
        highest = best.sort_values("memorization_ratio", kind="stable").iloc[-1]
        top = f"{ratio_text(100 * highest['memorization_ratio'], is_lower_bound(highest), 1)}%"
    return [
        (f"{overview.finished:,} / {overview.trials:,}", "trials finished"),
        (top, "highest memorization ratio"),
        (_compact(overview.images), "training images seen"),
        *(
            (duration(amount), f"of {unit.removesuffix('-hours')}{' time' if unit != 'trial-hours' else 's'}")
            for unit, amount in sorted(overview.hours.items(), reverse=True)
        ),
    ]
