"""EMM of result folders: which factor, which trials may be compared, and how the numbers read."""

import math
from collections.abc import Sequence

import pandas as pd

from analysis.emm.estimate import METHODS, Method, emm, fitted_curves
from analysis.results.schema import CONDITIONAL, experiment_keys
from analysis.runs.factors import in_order, value_text
from analysis.runs.final import stopped_early
from analysis.runs.groups import Group, group_titles, once_a_seed
from analysis.runs.runs import Runs
from analysis.runs.settings import REPEATS
from memo_core.errors import MemosweepError, did_you_mean

SIZE = "data.size"


def find_factor(runs: Runs, requested: str | None = None) -> str:
    """Return the dotted key whose values have an EMM each.

    Args:
        runs: of one sweep or several.
        requested: a key, its last part (`width`) or a sweep's name; None takes the key that the sweeps varied, or
            the only one that differs among the trials.

    Returns:
        The key; `data.size` where nothing but the size varies, which makes one curve.

    Raises:
        MemosweepError: no such key, or several factors to choose from.
    """
    keys = experiment_keys(runs.evaluations)
    sweeps = runs.sweeps.values()
    if requested is not None:
        named = {str(sweep.get("factor")): str(sweep.get("key")) for sweep in sweeps}
        found = [key for key in keys if requested in (key, key.rpartition(".")[2])] or [named.get(requested, "")]
        if found[0] in keys:
            return found[0]
        near = did_you_mean(requested, [*keys, *(key.rpartition(".")[2] for key in keys)])
        hint = near or f"these differ: {', '.join(runs.factors) or 'none'}"
        raise MemosweepError(f"--factor {requested}: no trial has such a setting, {hint}")
    studied = list(dict.fromkeys(key for sweep in sweeps if (key := str(sweep.get("key"))) in keys))
    candidates = studied or runs.factors or [SIZE]
    if len(candidates) > 1:
        candidates = [key for key in candidates if key != SIZE]
    if len(candidates) > 1:
        raise MemosweepError(
            f"several factors differ among the trials: choose one by --factor {' | '.join(candidates)}"
        )
    return candidates[0]


def comparable_runs(runs: Runs, key: str) -> list[Group]:
    """Return the trials that count, in groups within which only the factor, the size and seeds differ.

    Raises:
        MemosweepError: no trial has a ratio, or none to which the factor means something.
    """
    runs = runs.checked()
    if key in CONDITIONAL:
        runs = runs.where(runs.evaluations[key].notna())
        if runs.evaluations.empty:
            other, value = CONDITIONAL[key]
            raise MemosweepError(f"--factor {key}: no trial has {other} = {value}, without which it means nothing")
    return runs.groups(key, min_values=1)


def emm_of_results(found: Sequence[Group], zetas: Sequence[float], methods: Sequence[Method] = METHODS) -> pd.DataFrame:
    """EMM of each factor value.

    Args:
        found: of `comparable_runs`.
        zetas: in (0, 1).
        methods: of `analysis.emm.estimate`.

    Returns:
        The columns of `analysis.emm.estimate`, values of the factor in their order, behind `group`, the place in
        `found` from 0 on, and `among`, what all runs of the row share and others do not (`""` where there is one
        group). Sizes in images; an open side of an interval is 0 or infinity.

    Raises:
        MemosweepError: zeta out of range.
    """
    parts = []
    for place, (group, among) in enumerate(zip(found, group_titles(found), strict=True)):
        runs, about = _estimable(group)
        try:
            part = emm(runs, about, list(zetas), methods, size=SIZE, seed="training")
        except ValueError as error:
            raise MemosweepError(f"no EMM: {error}") from None
        order = {str(value): rank for rank, value in enumerate(in_order(group.key, part["value"]))}
        part = part.sort_values("value", key=lambda values: values.map(str).map(order), kind="stable")
        part.insert(0, "group", place)
        part.insert(1, "among", among)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def group_crossings(group: Group, zetas: Sequence[float]) -> pd.DataFrame:
    """Return the rows of `emm_of_results` of one group by the isotonic method, at zetas in (0, 1)."""
    return emm_of_results([group], zetas, ["isotonic"])


def curves_of_results(group: Group, method: Method) -> pd.DataFrame:
    """Return the curves whose crossings `emm_of_results` reports; see `analysis.emm.estimate.fitted_curves`."""
    runs, about = _estimable(group)
    return fitted_curves(runs, about, method, size=SIZE, seed="training")


def _estimable(group: Group) -> tuple[pd.DataFrame, str]:
    """Return a group's runs and factor as the estimators take them."""
    runs = once_a_seed(group.runs.best)
    # Another data seed is another training too.
    seeds = [name for name in REPEATS if name in runs.columns] or ["trial_id"]
    training = runs.groupby(seeds, dropna=False).ngroup()
    return runs.assign(training=training), "" if group.key == SIZE else group.key


def emm_notes(
    estimates: pd.DataFrame, runs: Runs, found: Sequence[Group], methods: Sequence[Method] = METHODS
) -> list[str]:
    """Return what a reader of the numbers has to know beside their kind.

    Args:
        estimates: of `emm_of_results`.
        runs: which the estimates come from.
        found: the groups that they are of.
        methods: that were requested.

    Returns:
        Lines on values without a logistic EMM, trials that are left out, ratios that are lower bounds, and ratios that
        rise with |D|.
    """
    key = found[0].key
    lines = runs.excluded()
    lines += _without_line(estimates, found) if "logistic" in methods else []
    if stopped_early(runs.evaluations).any():
        lines.append("where the size below a crossing has a lower bound, the EMM may be somewhat larger")
    rising = estimates.loc[~estimates["monotone"].astype(bool), "value"]
    for value in dict.fromkeys(value_text(key, value) for value in rising):
        lines.append(
            ("" if key == SIZE else f"{value}: ") + "the ratio rises with |D| somewhere, beyond noise (against "
            "Hypothesis 2.2): the crossing is that of the closest falling curve"
        )
    return lines


def _without_line(estimates: pd.DataFrame, found: Sequence[Group]) -> list[str]:
    """Which values have no row of the logistic method, and why."""
    fitted = estimates[estimates["method"] == "logistic"]
    names = []
    for place, (group, among) in enumerate(zip(found, group_titles(found), strict=True)):
        if group.key == SIZE:
            lacking = [] if (fitted["group"] == place).any() else [""]
        else:
            have = {value_text(group.key, value) for value in fitted.loc[fitted["group"] == place, "value"]}
            values = in_order(group.key, group.runs.evaluations[group.key])
            lacking = [name for value in values if (name := value_text(group.key, value)) not in have]
        names += [" among ".join(filter(None, (name, among))) for name in lacking]
    if not names:
        return []
    whose = f" for {', '.join(names)}" if any(names) else ""
    return [
        f"no logistic EMM{whose}: a line of logits needs ratios between 0.5% and 99.5% at two sizes, and a slope "
        "that differs from zero beyond its noise"
    ]


def images_text(size: float) -> str:
    """Return a number of training images: three digits below 100, else whole ones; `open` for 0 and infinity."""
    if not 0 < size < math.inf:
        return "open"
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"
