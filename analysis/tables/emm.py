"""Effective model memorization of factor values."""

from collections.abc import Sequence

import pandas as pd

from analysis.emm.kinds import KINDS
from analysis.inference.emm import SIZE, images_text
from analysis.runs.factors import factor, inside_sentence, value_text
from analysis.tables.table import HIGH, LOW, Column, Marked, Table

MARKS = {"lower_bound": ">= ", "upper_bound": "< ", "extrapolated": "~ "}
WHAT = "EMM: the largest training set of which a model still replicates 1 - zeta"
HOW = {
    "isotonic": "interpolated between the sizes run (isotonic)",
    "logistic": "on a line of logits over ln|D| whose slope all values share (logistic)",
}
"""Where the ratio crosses 1 - zeta, by method."""


def emm_table(estimates: pd.DataFrame, notes: Sequence[str] = ()) -> Table:
    """Return the estimates with what each kind of number means.

    Args:
        estimates: of `analysis.inference.emm`, with `key`, the factor of each row (`data.size`: one curve of all runs).
        notes: further ones.
    """
    keys = list(estimates["key"].unique())
    alone = len(keys) == 1
    among = bool((estimates["among"] != "").any())
    methods = list(dict.fromkeys(estimates["method"]))
    rows = []
    for _, row in estimates.iterrows():
        is_bound = str(row["kind"]).endswith("bound")
        mark = MARKS.get(str(row["kind"]))
        rows.append(
            [
                *([] if alone else ["all runs" if row["key"] == SIZE else factor(row["key"]).title]),
                *([str(row["among"])] if among else []),
                *([] if keys == [SIZE] else [_value(row, raw=alone)]),
                row["zeta"],
                *([row["method"]] if len(methods) > 1 else []),
                Marked(row["emm"], mark) if mark else row["emm"],
                *((None, None) if is_bound else (row["emm_low"], row["emm_high"])),
                str(row["kind"]).replace("_", " "),
                row["sizes"],
                row["trainings"],
            ]
        )
    kinds = [
        *([] if alone else [Column("Factor")]),
        *([Column("Among")] if among else []),
        *([] if keys == [SIZE] else [Column.setting(keys[0]) if alone else Column("Value")]),
        Column.formatted("zeta", "g"),
        *([Column("Method")] if len(methods) > 1 else []),
        Column("EMM", images_text),
        Column(LOW, _end),
        Column(HIGH, _end),
        *Column.texts("Kind", "Sizes", "Trainings"),
    ]
    by = f" by {inside_sentence(factor(keys[0]).title)}" if alone and keys != [SIZE] else ""
    how = " or ".join(HOW[method] for method in methods)
    meanings = [f"{WHAT}. Where the ratio crosses: {how}"] if len(estimates) else []
    meanings += [
        f"{kind.replace('_', ' ')}: {text}" for kind, text in KINDS.items() if (estimates["kind"] == kind).any()
    ]
    title = f"Effective model memorization (EMM, in training images){by}"
    return Table("emm", title, kinds, rows, [*meanings, *notes])


def _value(row: pd.Series, raw: bool) -> object:
    """A factor's value; as text where several factors share the column."""
    if raw:
        return row["value"]
    return "" if row["key"] == SIZE else value_text(row["key"], row["value"])


def _end(value: object) -> str:
    return "" if value is None or pd.isna(value) else images_text(float(value))  # type: ignore[call-overload, arg-type]
