"""Fair comparisons inside a pooled table: trials that differ in one factor, and in nothing else that matters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.runs.averages import averaged
from analysis.runs.factors import DEPENDENT, USUAL, value_label
from analysis.runs.final import stopped_early
from analysis.runs.labels import MOST, names
from analysis.runs.settings import REPEATS, setting_keys, varies

if TYPE_CHECKING:
    from analysis.runs.runs import Runs

_BUDGET = ("training.images", "training.epochs")
"""How long a trial trains: a setting of a study, not a factor."""


@dataclass(frozen=True)
class Group:
    """Trials that differ in `key`, in further keys such as |D|, and in seeds only.

    Attributes:
        key: the setting, a dotted key.
        fixed: what distinguishes this group from the others of the same key; empty where there is one.
        runs: its trials.
    """

    key: str
    fixed: dict[str, Any]
    runs: "Runs"

    @property
    def title(self) -> str:
        """What is fixed, such as `Width = 256`, missing values aside; empty where there is one group."""
        labels = [value_label(key, value) for key, value in self.fixed.items() if not pd.isna(value)]
        return ", ".join([*labels[:MOST], *(["..."] if len(labels) > MOST else [])])


def group_trials(runs: "Runs", key: str, within: Sequence[str] = ("data.size",), min_values: int = 2) -> list[Group]:
    """Split the counted trials into groups in which only a setting and `within` differ.

    Settings that depend on `key` (`analysis.runs.factors.DEPENDENT`) may differ between its values, but not within one:
    where a value was run with several, the first group has each value's own, and each of the others has a group of its
    own.

    Args:
        runs: of one sweep or several.
        key: the setting, a dotted key.
        within: further keys that may differ inside a group.
        min_values: how many values of `key` a group must have.

    Returns:
        Groups, the one with most (value, `within`) cells first, so that a sweep's own trials come before the single
        ones that other sweeps contribute.
    """
    frame = runs.counted.evaluations
    return [Group(key, fixed, runs.part(part)) for fixed, part in _split(frame, key, within, min_values)]


def _split(
    frame: pd.DataFrame, key: str, within: Sequence[str], least: int
) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """What is fixed in each group, and its rows with their labels in the frame."""
    if key not in frame.columns:
        return []
    dependent = [name for name in DEPENDENT.get(key, ()) if name not in within]
    free = {key, *within, *dependent}
    split = [name for name in setting_keys(frame) if name not in free and varies(frame[name])]
    groups = list(frame.groupby(split, dropna=False, sort=True)) if split else [((), frame)]
    wide = [
        ({**dict(zip(split, values, strict=True)), **constant}, part)
        for values, group in groups
        for constant, part in _by_dependent(group, key, dependent)
        if part[key].nunique(dropna=False) >= least
    ]
    names = [*split, *dependent]
    distinguishing = [
        name for name in names if len({str(fixed[name]) if name in fixed else "" for fixed, _ in wide}) > 1
    ]
    found = [({name: fixed[name] for name in distinguishing if name in fixed}, part) for fixed, part in wide]
    cells = [key, *(name for name in within if name in frame.columns)]
    return sorted(found, key=lambda group: -len(group[1][cells].drop_duplicates()))


def has_own_dependent(frame: pd.DataFrame, key: str, dependent: Sequence[str]) -> pd.Series:
    """Return for each row whether it has the dependent settings that are kept for its value of a factor.

    Pooled sweeps can hold several of one value: random labels with 10 and with 1,000 classes, a depth with and without
    a skip mask. Their trials are different experiments, which must not be averaged. Kept are the usual ones
    (`analysis.runs.factors.USUAL`); without such, those that most values of the factor were run with, of these the ones
    with most rows.

    Args:
        frame: settings as columns.
        key: the factor.
        dependent: the settings that depend on it.
    """
    present = [name for name in dependent if name in frame.columns]
    if key not in frame.columns or not present or frame.empty:
        return pd.Series(True, index=frame.index)
    usual = pd.Series(0, index=frame.index)
    for name, expected in USUAL.get(key, {}).items():
        if name in present:
            wanted = frame[key].map(expected.get) if isinstance(expected, Mapping) else expected
            wanted = pd.Series(wanted, index=frame.index, dtype=object)
            values = frame[name].astype(object)
            usual += (values == wanted).fillna(False).astype(bool) | (values.isna() & wanted.isna())
    kinds = pd.DataFrame({"value": _codes(frame, [key]), "kind": _codes(frame, present), "usual": usual})
    table = kinds.value_counts().rename("rows").reset_index()
    table["shared"] = table.groupby("kind")["kind"].transform("size")
    order = table.sort_values(["usual", "shared", "rows", "kind"], ascending=[False, False, False, True])
    return kinds["kind"] == kinds["value"].map(order.drop_duplicates("value").set_index("value")["kind"])


def _by_dependent(
    frame: pd.DataFrame, key: str, dependent: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the parts of a frame in which each value of the factor has dependent settings of one kind.

    First the part with each value's own, then one for each kind of which trials are left, with all values that were run
    with it; before each the dependent settings that are constant in it. Where no value has several kinds, the whole
    frame alone, with nothing before it.
    """
    present = [name for name in dependent if name in frame.columns]
    own = has_own_dependent(frame, key, present)
    if own.all():
        yield {}, frame
        return
    kinds = _codes(frame, present)
    for part in (frame[own], *(frame[kinds == code] for code in sorted(set(kinds[~own])))):
        yield {name: part[name].iloc[0] for name in present if len(part[name].unique()) == 1}, part


def _codes(frame: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    return frame.groupby(list(keys), dropna=False, sort=True).ngroup()


def group_titles(found: Sequence[Group]) -> list[str]:
    """A title for each group that no other one has: the short one, or where several share it, all that is fixed.

    Titles round numbers: groups that have the same title even so are numbered by their place in `found`.
    """
    short = [group.title for group in found]
    if len(found) < 2:
        return short
    whole = [", ".join(value_label(key, value) for key, value in group.fixed.items()) for group in found]
    chosen = [brief if brief and short.count(brief) == 1 else full for brief, full in zip(short, whole, strict=True)]
    return [
        f"{title} #{chosen[: place + 1].count(title)}" if chosen.count(title) > 1 else title
        for place, title in enumerate(chosen)
    ]


def short_titles(found: Sequence[Group], most: int) -> list[str]:
    """Return titles of the first groups by what distinguishes them; a single one is titled by all that is fixed."""
    if len(found[:most]) < 2:
        return [group.title for group in found[:most]]
    fixed = pd.DataFrame([group.fixed for group in found])
    return names(fixed[:most], among=fixed)


def studied_keys(frame: pd.DataFrame) -> list[str]:
    """The factors that a pooled table can speak about: keys with a group of two values, |D| and seeds aside."""
    varied = [name for name in setting_keys(frame) if name != "data.size" and varies(frame[name])]
    dependent = {name for key in varied for name in DEPENDENT.get(key, ())}
    free = [name for name in varied if name not in dependent and not name.startswith(_BUDGET)]
    candidates = dict.fromkeys([*free, *(key for key in varied if key in dependent)])
    # A key that varies only with another one, such as the learning rate with the batch size, has no group.
    return [name for name in candidates if _split(frame, name, ("data.size",), 2)]


def summary(runs: "Runs", keys: Sequence[str], metric: str = "memorization_ratio") -> pd.DataFrame:
    """The number of each experiment: the best evaluation of its trials, averaged over seeds.

    Args:
        runs: usually those of a group.
        keys: what distinguishes experiments.
        metric: see `analysis.best`.

    Returns:
        `keys`, `value`, `low`, `high` (95%; ratios in percent), `trials`, and for ratios `samples` and `reached`; see
        `analysis.runs.averages.averaged`.
    """
    return averaged(once_a_seed(runs.best_by(metric)), keys, metric, runs.seed_spread)


def once_a_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """One row for each setting and seed: sweeps that ran the same training again add no independent number.

    Of several, one that was trained to its end is kept before one that was stopped on reaching a target, then the one
    with most samples. A frame without seeds stays as it is.

    Args:
        runs: one row a trial.
    """
    if "seed" not in runs.columns:
        return runs
    order = pd.DataFrame({"reached": stopped_early(runs), "samples": -runs["num_samples"].astype("float64")})
    keys = [*setting_keys(runs), *(key for key in REPEATS if key in runs.columns)]
    kept = runs.loc[order.sort_values(["reached", "samples"], kind="stable").index].drop_duplicates(keys).index
    return runs.loc[runs.index.isin(kept)]
