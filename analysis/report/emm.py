"""The effective model memorization of each factor value, where a sweep covers several sizes."""

import math

import pandas as pd

from analysis.emm_results import emm_of_results, emm_text, images_text
from analysis.errors import AnalysisError
from analysis.panels import panels, studied_keys
from analysis.report.blocks import Cell, Table, table
from analysis.vocabulary import factor, inside_sentence, value_text

ZETA = 0.1
"""The paper's."""
KINDS = {
    "measured": "measured",
    "uncertain": "uncertain (within noise it may lie beyond the sizes run)",
    "lower_bound": "at least (largest size run)",
    "upper_bound": "below (smallest size run)",
    "predicted": "predicted beyond the sizes run",
}


def emm_frame(best: pd.DataFrame) -> pd.DataFrame:
    """EMMs as `python -m analysis emm` estimates them, with `key`, of each factor's largest panel.

    Args:
        best: a row per finished run, its best evaluation.
    """
    parts = []
    for key in (studied_keys(best) or ["data.size"]) if len(best) else []:
        found = panels(best, key)
        if not found or len(found[0].frame["data.size"].unique()) < 2:
            continue
        try:
            part = emm_of_results(found[:1], [ZETA])
        except AnalysisError:  # fewer numbers than the estimators need
            continue
        parts.append(part.assign(key=key))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def emm_table(estimates: pd.DataFrame) -> list[Table]:
    """The table, if there is anything to show."""
    if estimates.empty:
        return []
    rows = []
    for _, row in estimates.iterrows():
        alone = row["key"] == "data.size"
        setting = "all runs" if alone else factor(row["key"]).title
        value = "" if alone else value_text(row["key"], row["value"])
        ends = (
            [Cell(""), Cell("")] if row["kind"].endswith("bound") else [_size(row["emm_low"]), _size(row["emm_high"])]
        )
        numbers = [Cell(emm_text(row), float(row["emm"])), *ends]
        kind = KINDS.get(str(row["kind"]), str(row["kind"]))
        rows.append([Cell(setting), Cell(value), Cell(str(row["method"])), Cell(kind), *numbers, _size(row["sizes"])])
    columns = ["Factor", "Value", "Method", "What the number is", "EMM", "95% low", "95% high", "Sizes"]
    note = (
        f"The largest training set of which a model still replicates {100 * (1 - ZETA):g}% (zeta = {ZETA:g}): where "
        "the ratio crosses, interpolated (isotonic) or on a line of log-odds over ln|D| whose slope all values share."
    )
    return [table("emm", "Effective model memorization (EMM)", note, columns, rows)]


def emm_headline(estimates: pd.DataFrame) -> list[str]:
    """The measured EMMs of the factor with most of them, in a sentence."""
    if estimates.empty:
        return []
    measured = estimates[(estimates["kind"] == "measured") & (estimates["method"] == "isotonic")]
    if measured.empty:
        return ["No setting's ratio crosses 90% between two of the sizes run beyond noise, so that no EMM is measured."]
    key = measured["key"].value_counts().index[0]
    chosen = measured[measured["key"] == key]
    texts = [
        f"{images_text(row['emm'])} (95%: {images_text(row['emm_low'])} to {images_text(row['emm_high'])})"
        + ("" if key == "data.size" else f" at {value_text(key, row['value'])}")
        for _, row in chosen.head(5).iterrows()
        if math.isfinite(row["emm_high"])
    ]
    if not texts:
        return []
    name = "" if key == "data.size" else f" by {inside_sentence(factor(key).title)}"
    return [f"The EMM (zeta = {ZETA:g}){name}, in training images: {'; '.join(texts)}."]


def _size(value: object) -> Cell:
    amount = float(value)  # type: ignore[arg-type]
    if math.isinf(amount):
        return Cell("no bound", amount)
    return Cell.of(amount, images_text(amount) if math.isfinite(amount) else "")
