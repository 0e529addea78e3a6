"""Findings on the training set: section 3 of the paper, Figures 1 and 2."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.inference.findings.verdict import Question, falls, little, rises, within
from analysis.results.schema import OPTIMUM
from analysis.runs.effects import LOGIT, Cells, Effect, Saturated, is_saturated, ln, per_unit, trend
from analysis.runs.runs import Runs
from analysis.stats.binomial import empirical_logit, wilson_interval
from analysis.stats.regression import mean_effect
from analysis.stats.significance import normal_quantile

NATIVE_RESOLUTION = {"digits": 8, "cifar10": 32}
NATIVE_CLASSES = {"digits": 10, "cifar10": 10}
OPTIMUM_RATIO = 0.99
OPTIMUM_SAMPLES = 100


def optimum_replicates(cells: Cells, runs: Runs) -> list[Question]:
    """The closed-form optimum: runs of the architecture `optimum`."""
    asks = f"ratio of the closed-form optimum (95% Wilson interval above {100 * OPTIMUM_RATIO:g}%)"
    rows = runs.evaluations
    rows = rows[rows["model.architecture"] == OPTIMUM] if "model.architecture" in rows else rows.iloc[:0]
    if rows.empty:
        return [Question(asks, "open", None, "these are trained models; no samples of the optimal denoiser")]
    n = float(rows["num_samples"].sum())
    p = float((rows["memorization_ratio"] * rows["num_samples"]).sum() / n)
    low, high = (float(end) for end in wilson_interval(p * n, n))
    effect = Effect("ratio", 100 * p, 100 * low, 100 * high, "%", len(rows), len(rows))
    if n < OPTIMUM_SAMPLES:
        return [Question(f"{asks} [{n:.0f} samples, {OPTIMUM_SAMPLES} needed]", "open", effect)]
    return [within(asks, effect, above=100 * OPTIMUM_RATIO)]


def smaller_data_memorizes(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 1c and 1d: over |D| at equal settings, and over training within each run."""
    size = trend(cells, "data.size", ln, "from the smallest to the largest |D|")
    missing = "no two runs that differ in data.size only"
    return [
        falls("change from the smallest to the largest |D|", size, missing),
        rises(
            "change from the first to the last evaluation of a run", _growth(runs.evaluations), "one evaluation per run"
        ),
    ]


def size_slope(cells: Cells) -> Effect | None:
    """Log-odds per ln|D|, the paper's logistic law (its Table 4 gives -2.9)."""
    effect = trend(cells, "data.size", ln, "slope")
    if not isinstance(effect, Effect):
        return None
    lengths = [np.ptp(np.log(stratum["data.size"])) for stratum in cells.strata({"data.size"}) if len(stratum) > 1]
    lengths = [length for length in lengths if length > 0]
    return per_unit(effect, float(np.mean(lengths)), "logits per ln|D|")


def _growth(evaluations: pd.DataFrame) -> Effect | Saturated | None:
    """Within a run its seed cancels, so that only binomial noise is left."""
    ordered = evaluations.dropna(subset=["memorization_ratio"]).sort_values("images_seen", kind="stable")
    trials = ordered.groupby(["experiment", "trial_id"])
    first, last = trials.first(), trials.last()
    several = (trials.size() > 1).to_numpy()
    first, last = first[several], last[several]
    if first.empty:
        return None
    ends = [rows["memorization_ratio"].to_numpy(dtype=float) for rows in (first, last)]
    saturated = is_saturated(*ends)
    if saturated.all():
        return Saturated("over training", len(first))
    first, last = first[~saturated], last[~saturated]
    y0, v0 = empirical_logit(first["memorization_ratio"], first["num_samples"])
    y1, v1 = empirical_logit(last["memorization_ratio"], last["num_samples"])
    value, error = mean_effect(y1 - y0, v0 + v1)
    change = 100 * (last["memorization_ratio"] - first["memorization_ratio"]).to_numpy(dtype=float)
    middle, reach = float(change.mean()), normal_quantile() * error
    width = float(normal_quantile() * (change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else 100.0))
    points = (middle, middle - width, middle + width)
    runs = len(first)
    return Effect(
        "over training", value, value - reach, value + reach, LOGIT, runs, runs, points, saturated=int(saturated.sum())
    )


def lower_resolution_memorizes(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 2a and 11a; a run without `data.resolution` has its data set's own."""
    key, change = "data.resolution", "from the lowest to the highest resolution"
    effect = trend(_with_default(cells, key, _native_resolution), key, ln, change)
    return [falls(f"change {change} at equal |D|", effect, f"no two runs that differ in {key} only")]


def class_diversity_weak(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 2b: lower, but by less than `WEAK`."""
    key = "data.classes"
    filled = _with_default(cells, key, lambda dataset: float(NATIVE_CLASSES.get(dataset, np.nan)))
    effect = trend(filled, key, lambda column: ln(column.map(_count)), "from few to many classes")
    asks = "change from the fewest to the most classes at equal |D|"
    return [little(asks, effect, f"no two runs that differ in {key} only", upper=0.0)]


def intra_class_diversity_weak(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 2c: lower, but by less than `WEAK`."""
    dependent = ("data.blend_dataset", "data.blend_classes")
    effect = trend(cells, "data.blend_ratio", pd.to_numeric, "from no to most blended data", dependent)
    asks = "change from the least to the most blended data at equal |D|"
    return [little(asks, effect, "no two runs that differ in data.blend_ratio only", upper=0.0)]


def _with_default(cells: Cells, key: str, default: Callable[[str], float]) -> Cells:
    if key not in cells.frame or "data.dataset" not in cells.frame:
        return cells
    values = cells.frame[key].astype(object)
    native = cells.frame["data.dataset"].map(default)
    return Cells(cells.frame.assign(**{key: values.where(values.notna(), native)}), cells.keys, cells.spread)


def _native_resolution(dataset: str) -> float:
    """Of an embedded data set, or as EDM names its archives (`ffhq-64x64.zip`)."""
    named = re.search(r"(\d+)x\1(?!\d)", str(dataset))
    return float(named.group(1)) if named else float(NATIVE_RESOLUTION.get(str(dataset), np.nan))


def _count(classes: object) -> float:
    """`data.classes` is a number of classes or a list of class indices."""
    text = str(classes)
    return float(text.count(",") + 1) if "," in text else float(text)
