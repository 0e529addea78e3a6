"""Two sweeps beside each other: what was set differently, and whether their ratios differ beyond noise."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.schema import with_defaults
from analysis.runs.effects import Effect, cell_ratio_variances, is_saturated, make_cells, pooled_effect
from analysis.runs.final import stopped_early, trial_failures
from analysis.runs.runs import Runs
from analysis.runs.seeds import SeedSpread, seed_spread
from analysis.runs.settings import REPEATS, setting_keys
from analysis.stats.significance import CONFIDENCE, holm, normal_quantile, two_sided_p
from memo_core.errors import MemosweepError

ABOUT = ("factor", "preset", "search", "command", "git_commit", "hardware", "resources", "versions")
"""Of `sweep.json`, what two sweeps are compared by."""

METHOD = (
    "Every interval and p-value is of the odds (odds of B over odds of A), and holds the noise of the samples plus "
    "that of training seeds, whether a setting was run with one seed or with several. p-values are two-sided and "
    "adjusted for the number of settings (Holm); beyond noise means an adjusted p below 0.05. A lower bound (a trial "
    "that was stopped on reaching its target) can only rise: it is beyond noise where rising makes the difference "
    "larger, and it is no part of what is pooled."
)


@dataclass(frozen=True)
class Difference:
    """An option or a circumstance in which two sweeps differ."""

    what: str
    a: str
    b: str


@dataclass(frozen=True)
class Match:
    """One setting that both sweeps trained."""

    settings: Mapping[str, Any]
    ratio_a: float
    ratio_b: float
    """Mean best ratios over seeds, 0..1."""
    runs_a: int
    runs_b: int
    points: float
    """B less A, in points."""
    odds: float | None
    """Odds of B over odds of A; None where both ratios are at the same end."""
    odds_low: float | None
    odds_high: float | None
    """The 95% interval of `odds`, on the scale that `p` is of: samples and training seeds."""
    p: float
    p_adjusted: float
    bound_a: bool = False
    """Whether `ratio_a` is a lower bound: a trial was stopped on reaching its target."""
    bound_b: bool = False
    saturated: bool = False
    """Whether both ratios are 0% or both 100%, which says nothing of a difference."""
    same_training: bool = False
    """Whether the same seeds gave the same ratios with the same settings: one training, run (or copied) twice."""

    @property
    def beyond_noise(self) -> bool:
        """Whether the difference is larger than samples and seeds explain, whatever lower bounds may rise to."""
        uncertain = self.bound_a if self.points > 0 else self.bound_b
        return self.p_adjusted < 1 - CONFIDENCE and not uncertain


@dataclass(frozen=True)
class Comparison:
    """What differs between two sweeps."""

    a: str
    b: str
    differences: tuple[Difference, ...]
    only_a: tuple[Mapping[str, Any], ...]
    only_b: tuple[Mapping[str, Any], ...]
    matches: tuple[Match, ...]
    overall: Effect | None
    """B against A, pooled over the matched settings."""
    spread: SeedSpread
    unfinished: tuple[int, int]
    """Trials of each that are left out: not finished, or stopped early as they will not reach a target."""
    broken: tuple[tuple[str, ...], tuple[str, ...]]
    """Trials of each that diverged or failed, a line a kind; they are left out."""
    lower_bounds: tuple[int, int]
    """Trials of each that were stopped early on reaching a target: their ratio is a lower bound of the final one."""
    method: str = METHOD

    @property
    def conclusion(self) -> str:
        """The answer in a sentence or two."""
        if not self.matches:
            return "The sweeps have no setting in common: nothing can be compared."
        beyond = sum(match.beyond_noise for match in self.matches)
        count = len(self.matches)
        settings = "setting" if count == 1 else "settings"
        text = f"{beyond} of {count} matched {settings} {'differs' if beyond == 1 else 'differ'} beyond noise."
        saturated = sum(match.saturated for match in self.matches)
        if saturated:
            says = "says" if saturated == 1 else "say"
            text += f" {saturated} of them at 0% or at 100% on both sides {says} nothing."
        if self.overall is None and saturated < count:
            over = "The others" if saturated else "All of them"
            text += f" {over} are lower bounds on a side, so that there is no difference to pool."
        elif self.overall is not None:
            decided = self.overall.low > 0 or self.overall.high < 0
            answer = "beyond noise" if decided else "this includes no difference"
            left = self.overall.comparisons
            which = "others" if left == count - saturated else "with final ratios"
            over = "them" if left == count else f"the {left} {which}"
            text += f" Pooled over {over}, B differs from A by {self.overall}: {answer}."
        same = sum(match.same_training for match in self.matches)
        if same:
            which = f"{same} of them" if same < count else "All of them" if count > 1 else "It"
            text += (
                f" {which} {'is' if same == 1 else 'are'} the same training on both sides (same seeds, same ratios), "
                "which says nothing about noise."
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = asdict(self)
        for match, row in zip(self.matches, plain["matches"], strict=True):
            row["beyond_noise"] = match.beyond_noise
        return {**plain, "conclusion": self.conclusion}


def compare(a: Runs, b: Runs, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Compare two sweeps.

    Args:
        a: one sweep.
        b: the other one.
        names: for the answer.

    Raises:
        MemosweepError: a sweep has no finished run.
    """
    runs_a, runs_b = a.finished.best, b.finished.best
    for name, runs in zip(names, (runs_a, runs_b), strict=True):
        if runs.empty:
            raise MemosweepError(f"{name}: no trial has finished, nothing to compare")
    keys = list(dict.fromkeys([*setting_keys(runs_a), *setting_keys(runs_b)]))
    # What a value means may show in the other sweep.
    both = with_defaults(pd.concat([runs_a, runs_b], ignore_index=True), keys)
    runs_a, runs_b = both.iloc[: len(runs_a)].reset_index(drop=True), both.iloc[len(runs_a) :].reset_index(drop=True)
    table_a, table_b = _texts(runs_a, keys), _texts(runs_b, keys)
    constant = [key for key in keys if table_a[key].nunique() == table_b[key].nunique() == 1]
    between = [key for key in constant if table_a[key].iloc[0] != table_b[key].iloc[0]]
    differences = [Difference(key, str(table_a[key].iloc[0]), str(table_b[key].iloc[0])) for key in between]
    spread = seed_spread(both.assign(**{"sweep.": ["a"] * len(runs_a) + ["b"] * len(runs_b)}))
    # A setting in which the sweeps differ as a whole is what is compared: it does not keep trials apart.
    shared = [key for key in keys if key not in between]
    sides = [_side(runs, table, shared, spread) for runs, table in ((runs_a, table_a), (runs_b, table_b))]
    varied = [key for key in shared if key not in constant]
    matches, overall = _matches(sides[0], sides[1], shared, varied, may_repeat=not between)
    only = [
        tuple(sorted((_named(index, shared, varied) for index in one.index.difference(other.index)), key=_order))
        for one, other in (sides, sides[::-1])
    ]
    missing = (_unfinished(a, runs_a), _unfinished(b, runs_b))
    broken = (tuple(a.failed()), tuple(b.failed()))
    differences = [*_about(a, b), *differences]
    bounds = (int(stopped_early(runs_a).sum()), int(stopped_early(runs_b).sum()))
    return Comparison(
        names[0], names[1], tuple(differences), only[0], only[1], matches, overall, spread, missing, broken, bounds
    )


def _texts(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Settings as text, equal where the numbers are: 1 and 1.0, a missing column and a missing value."""
    return pd.DataFrame({key: [_text(value) for value in runs[key]] if key in runs else "none" for key in keys})


def _text(value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return str(value)
    return f"{float(value):.10g}"


def _side(runs: pd.DataFrame, table: pd.DataFrame, shared: list[str], spread: SeedSpread) -> pd.DataFrame:
    """By the shared settings: logits, variance, ratio, runs, whether that is a lower bound, and which trainings."""
    plain = pd.concat([table[shared], runs[["memorization_ratio", "num_samples"]].reset_index(drop=True)], axis=1)
    cells = make_cells(plain, spread).frame.set_index(shared).sort_index()
    named = [key for key in (*REPEATS, "memorization_ratio", "num_samples") if key in runs]
    trainings = [" ".join(map(_text, row)) for row in runs[named].itertuples(index=False)]
    about = table[shared].assign(bound=stopped_early(runs).to_numpy(), trainings=trainings)
    found = about.groupby(shared, sort=True).agg(bound=("bound", "any"), trainings=("trainings", frozenset))
    return cells.join(found)


def _matches(
    a: pd.DataFrame, b: pd.DataFrame, shared: list[str], varied: list[str], may_repeat: bool
) -> tuple[tuple[Match, ...], Effect | None]:
    """What both trained, and the effect over those whose ratios are final."""
    common = a.index.intersection(b.index, sort=False)
    if len(common) == 0:
        return (), None
    first, second = a.loc[common], b.loc[common]
    difference = second["logit"].to_numpy() - first["logit"].to_numpy()
    variance = second["variance"].to_numpy() + first["variance"].to_numpy()
    saturated = is_saturated(first["ratio"].to_numpy(dtype=float), second["ratio"].to_numpy(dtype=float))
    p_values = [
        two_sided_p(d / math.sqrt(v)) for d, v in zip(np.where(saturated, 0.0, difference), variance, strict=True)
    ]
    # A saturated setting is not a test that Holm's correction has to allow for.
    adjusted = np.ones(len(p_values))
    adjusted[~saturated] = holm([p for p, out in zip(p_values, saturated, strict=True) if not out])
    points = 100 * (second["ratio"].to_numpy() - first["ratio"].to_numpy())
    point_variances = cell_ratio_variances(first) + cell_ratio_variances(second)
    reach = normal_quantile() * np.sqrt(variance)
    odds: list[tuple[float | None, float | None, float | None]] = [
        (None, None, None) if out else (math.exp(d), math.exp(d - r), math.exp(d + r))
        for d, r, out in zip(difference, reach, saturated, strict=True)
    ]
    sides = [side.to_dict("records") for side in (first, second)]
    matches = tuple(
        Match(
            _named(index, shared, varied),
            *(float(one["ratio"]), float(other["ratio"]), int(one["runs"]), int(other["runs"])),
            float(points[i]),
            *odds[i],
            *(p_values[i], float(adjusted[i])),
            *(bool(one["bound"]), bool(other["bound"]), bool(saturated[i])),
            may_repeat and one["trainings"] == other["trainings"],
        )
        for i, (index, one, other) in enumerate(zip(common, sides[0], sides[1], strict=True))
    )
    final = ~(first["bound"] | second["bound"]).to_numpy(dtype=bool) & ~saturated
    effect = None
    if final.any():
        runs = int((first["runs"] + second["runs"])[final].sum())
        effect = pooled_effect(
            "B against A", difference[final], variance[final], points[final] / 100, point_variances[final], runs
        )
    return tuple(sorted(matches, key=lambda match: _order(match.settings))), effect


def _named(index: Any, shared: list[str], varied: list[str]) -> dict[str, Any]:
    values = dict(zip(shared, index if isinstance(index, tuple) else (index,), strict=True))
    return {key: _value(values[key]) for key in varied}


def _value(text: str) -> str | float | None:
    """Back from `_text`, for readers of the JSON."""
    if text == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _order(settings: Mapping[str, Any]) -> tuple[tuple[bool, float, str], ...]:
    """Numbers in their own order, words after them."""
    return tuple((isinstance(v, str), 0.0 if v is None or isinstance(v, str) else v, str(v)) for v in settings.values())


def _unfinished(runs: Runs, best: pd.DataFrame) -> int:
    return runs.where(trial_failures(runs.evaluations) == "").num_trials - len(best)


def _about(a: Runs, b: Runs) -> list[Difference]:
    """Return in what the manifests differ; versions package by package."""
    sides = [_manifest(runs) for runs in (a, b)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    values = [(name, sides[0].get(name, "unknown"), sides[1].get(name, "unknown")) for name in names]
    return [Difference(name, one, other) for name, one, other in values if one != other]


def _manifest(runs: Runs) -> dict[str, str]:
    said: dict[str, list[str]] = {}
    for sweep in runs.sweeps.values():
        for key in ABOUT:
            value = sweep.get(key)
            if key == "versions" and isinstance(value, dict):
                for package, version in value.items():
                    said.setdefault(f"version of {package}", []).append(str(version))
            elif value is not None:
                text = " ".join(map(str, value)) if isinstance(value, list) else value
                said.setdefault(key, []).append(text if isinstance(text, str) else json.dumps(text))
    return {key: ", ".join(dict.fromkeys(values)) for key, values in said.items()}
