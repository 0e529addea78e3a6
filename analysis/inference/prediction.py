"""The pooled fit of `analysis.inference.pooled_fit` on result folders, and a question to it in dotted keys."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from analysis.inference.nothing_learned import nothing_learned
from analysis.inference.pooled_fit import PooledFit, Prediction, fit_pooled
from analysis.results.schema import CONDITIONAL, DEFAULTS, experiment_keys
from analysis.runs.factors import DEPENDENT
from analysis.runs.labels import follows
from analysis.runs.runs import Runs
from analysis.runs.settings import MEASURING, REPEATS, for_fits, varied_keys, varies
from memo_core.errors import MemosweepError, did_you_mean

SIZE = "data.size"
MISSING = "none"
"""How a missing value is written, as in `--set data.resolution=none`."""


@dataclass(frozen=True)
class Answer:
    """A prediction, and what it rests on.

    Attributes:
        setting: the requested values of the keys that vary in the data.
        prediction: expected ratio in [0, 1], its 95% interval for a single training, and how far the question lies
            from the data.
        fit: over all runs.
        runs: trainings behind the fit.
        notes: what makes their ratios less than final, and which settings could not be distinguished.
    """

    setting: dict[str, Any]
    prediction: Prediction
    fit: PooledFit
    runs: int
    notes: list[str]

    @property
    def kind(self) -> str:
        """`interpolation` or `extrapolation`."""
        return "extrapolation" if self.prediction.extrapolation > 0 else "interpolation"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "setting": self.setting,
            **asdict(self.prediction),
            "kind": self.kind,
            "runs": self.runs,
            "keys": [feature.name for feature in self.fit.features],
            "misfit_logits": self.fit.regression.misfit,
            "notes": self.notes,
        }

    def lines(self) -> list[str]:
        """For a reader."""
        found = self.prediction
        where = ", ".join(f"{key} = {value}" for key, value in self.setting.items())
        return [
            f"expected memorization ratio {found.ratio:.1%}, 95% of trainings between {found.low:.1%} and "
            f"{found.high:.1%}, at {where}",
            found.statement,
            f"from {self.runs} runs: logit(ratio) over {', '.join(feature.name for feature in self.fit.features)}; "
            f"runs scatter by {self.fit.regression.misfit:.2f} logits around the fit",
            *self.notes,
        ]


def ask(results: Runs, settings: Sequence[str]) -> Answer:
    """Fit the best ratios of all trials over the keys that vary, and predict.

    A key that varies only with another one, as the learning rate with the batch size, is left to that one.

    Args:
        results: of one sweep or several.
        settings: `KEY=VALUE` each; every key that differs among the trials has to be given.

    Raises:
        MemosweepError: an unknown key, a key that is missing or never varied, a value that is not a number where one is
            needed or was never run, too few runs for the keys that vary, or nothing was memorized in any of them.
    """
    counted = results.checked().networks
    runs = counted.best
    keys = experiment_keys(runs)
    given = _parse(settings, keys)
    varied = [key for key in varied_keys(runs, keys) if key not in (*REPEATS, *MEASURING)]
    runs = for_fits(runs)
    followers = {
        other
        for key in varied
        for other in DEPENDENT.get(key, ())
        if other in varied and other not in given and follows(runs, other, key)
    }
    varying = [key for key in varied if key not in followers]
    pointless = {key for key, (other, value) in CONDITIONAL.items() if given.get(other, value) != value}
    for key in pointless & set(given):
        other = CONDITIONAL[key][0]
        if given.pop(key).lower() not in (MISSING, "-"):
            raise MemosweepError(f"--set {key}: it means nothing where {other} = {given[other]}, leave it out")
    inapplicable = pointless & set(varying)
    given |= {key: str(DEFAULTS[key]) for key in inapplicable}
    for key, text in given.items():
        if key not in varying:
            _check_constant(runs, key, text)
    table = runs[[*varying, "memorization_ratio", "num_samples"]].assign(
        **{key: _texts(runs[key]) for key in varying if not _numeric(runs[key])}
    )
    if SIZE not in table.columns:
        table = table.assign(**{SIZE: runs[SIZE]})
    missing = [key for key in varying if key not in given and CONDITIONAL.get(key, (key,))[0] in {key, *given}]
    missing = missing or [key for key in varying if key not in given]
    if missing:
        options = "; ".join(f"--set {key}=... ({_values(runs[key])})" for key in missing)
        raise MemosweepError(f"missing, since these differ among the runs: {options}")
    if not varying:
        raise MemosweepError("all runs have the same settings: there is nothing to predict from")
    unlearned = nothing_learned(counted.evaluations)
    if unlearned is not None:
        raise MemosweepError(f"there is nothing to predict from: {unlearned}")
    setting = {key: _value(key, given[key], runs[key]) for key in varying}
    try:
        fit = fit_pooled(table, varying, size=SIZE)
        prediction = fit.predict(setting)
    except ValueError as error:
        raise MemosweepError(str(error)) from None
    notes = results.excluded()
    if followers:
        notes.append(f"{', '.join(sorted(followers))} followed another key in every run: as there, so here")
    meant = {key: value for key, value in setting.items() if key not in inapplicable}
    return Answer(meant, prediction, fit, len(runs), notes)


def _parse(settings: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    given = {}
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not text:
            raise MemosweepError(f"--set {setting}: expected KEY=VALUE, such as data.size=3000")
        if key not in keys:
            hint = did_you_mean(key, keys, cutoff=0.5)
            raise MemosweepError(f"--set {setting}: no run has a setting {key}{f', {hint}' if hint else ''}")
        given[key] = text
    return given


def _numeric(column: pd.Series) -> bool:
    number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return bool(number and column.notna().all())


def _texts(column: pd.Series) -> pd.Series:
    """Categories as `--set` writes them: text, `none` where missing."""
    return pd.Series([_plain(value) for value in column], index=column.index, dtype=object)


def _plain(value: Any) -> str:
    if pd.isna(value):
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(key: str, text: str, column: pd.Series) -> Any:
    """A value as the fit knows it: a number, or the text of a category."""
    if not _numeric(column):
        return _category(text, column)
    try:
        number = float(text)
    except ValueError:
        raise MemosweepError(f"--set {key}={text}: expected a number") from None
    if not pd.api.types.is_integer_dtype(column):
        return number
    if not number.is_integer():
        raise MemosweepError(f"--set {key}={text}: expected a whole number")
    return int(number)


def _category(text: str, column: pd.Series) -> str:
    """The category that is meant, however a mask's commas or the case are written; `text` where there is none."""
    for category in sorted(set(_texts(column))):
        if _squeezed(text) == _squeezed(category):
            return str(category)
    return text


def _squeezed(text: str) -> str:
    return text.strip("[]").replace(",", "").replace(" ", "").lower()


def _check_constant(runs: pd.DataFrame, key: str, text: str) -> None:
    """Admit a key that the fit does not know only with the value that all runs have."""
    column = runs[key]
    if varies(column):
        raise MemosweepError(f"--set {key}={text}: the fit does not ask for it: it repeats or measures a run")
    if _plain(_value(key, text, column)) != _plain(column.iloc[0]):
        raise MemosweepError(f"--set {key}={text}: all runs have {_values(column)}, so that nothing is known of others")


def _values(column: pd.Series) -> str:
    values = list(dict.fromkeys(_plain(value) for value in column.sort_values(na_position="first")))
    return ", ".join(values[:6]) + (", ..." if len(values) > 6 else "")
