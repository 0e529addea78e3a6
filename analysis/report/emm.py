"""The effective model memorization of each factor value, where a sweep covers several sizes."""

import pandas as pd

from analysis.errors import AnalysisError
from analysis.inference.emm import emm_of_results, images_text
from analysis.runs.factors import factor, inside_sentence, value_text
from analysis.runs.labels import names
from analysis.runs.runs import Runs

ZETA = 0.1
"""The paper's."""
SENTENCE = 8
"""So many EMMs stand in the sentence; the others in the table."""


def emm_frame(runs: Runs) -> pd.DataFrame:
    """EMMs as `python -m analysis emm` estimates them, with `key`, of each factor's largest panel.

    Args:
        runs: of trained networks.
    """
    parts = []
    for key in (runs.factors or ["data.size"]) if len(runs.best) else []:
        found = runs.groups(key)
        if not found or len(found[0].runs.evaluations["data.size"].unique()) < 2:
            continue
        try:
            part = emm_of_results(found[:1], [ZETA])
        except AnalysisError:  # fewer numbers than the estimators need
            continue
        # Of several panels one is estimated: what it is, numbers must say.
        parts.append(part.assign(key=key, among=names(pd.DataFrame([panel.fixed for panel in found]))[0]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def emm_headline(estimates: pd.DataFrame) -> list[str]:
    """The EMMs of the factor with most measured ones in a sentence: numbers with their intervals, and bounds."""
    if estimates.empty:
        return []
    # One row a value: the interpolated crossing, or the bound in its place.
    known = estimates[(estimates["method"] == "isotonic") & (estimates["kind"] != "extrapolated")]
    if known.empty:
        return []
    crossing = known["kind"].isin(["measured", "uncertain"])
    key = (known[crossing] if crossing.any() else known)["key"].value_counts().index[0]
    chosen = known[known["key"] == key]
    texts: dict[str, list[str]] = {}
    for _, row in chosen.iterrows():
        value = "" if key == "data.size" else value_text(key, row["value"])
        texts.setdefault(_in_words(row), []).append(value)
    parts = [f"{number} at {', '.join(values)}" if any(values) else number for number, values in texts.items()]
    more = f"; and {len(parts) - SENTENCE} more in the table" if len(parts) > SENTENCE else ""
    among = str(chosen["among"].iloc[0])
    name = "" if key == "data.size" else f" by {inside_sentence(factor(key).title)}"
    name += f" ({among})" if among else ""
    sentence = f"The EMM (zeta = {ZETA:g}){name}, in training images: {'; '.join(parts[:SENTENCE])}{more}."
    if not (chosen["kind"] == "measured").any():
        sentence += (
            " No setting's ratio crosses 90% between two of the sizes run beyond noise, so that none is measured."
        )
    return [sentence]


def _in_words(row: pd.Series) -> str:
    """An EMM as a sentence says it."""
    if row["kind"] == "upper_bound":
        return f"below {images_text(row['emm'])}"
    if row["kind"] == "lower_bound":
        return f"at least {images_text(row['emm'])}"
    low, high = images_text(row["emm_low"]), images_text(row["emm_high"])
    doubt = ", uncertain" if row["kind"] == "uncertain" else ""
    return f"{images_text(row['emm'])} (95%: {low} to {high}{doubt})"
