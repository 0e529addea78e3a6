"""Findings on the measurement itself: how many samples are enough (Fig. 6), and the choice of zeta (Fig. 22)."""

import math

import numpy as np
import pandas as pd
from scipy import special, stats

from analysis.emm.curves import ValueData
from analysis.emm.isotonic import crossing, monotone_ratios
from analysis.inference.findings.verdict import Answer, Question, within
from analysis.runs.effects import Cells, Effect
from analysis.runs.runs import Runs
from analysis.runs.settings import setting_keys
from analysis.stats.binomial import FloatArray

ENOUGH_SAMPLES = 10_000
NEGLIGIBLE = 0.5
"""Standard deviation of the ratio over samples that counts as negligible, in points."""
RANGE_OF_THREE = 1.6926
"""Expected range of three normal deviates, in standard deviations."""
SEED_RANGE = 0.2
"""The paper's three training seeds differ by less, in points."""
ZETAS = (0.1, 0.2)
DRAWS = 400
PAIRS = 3
"""Pairs of EMMs below which the order is not tested."""


def ten_thousand_samples_enough(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 6: the binomial deviation at 10,000 samples, and training seeds beyond it."""
    return [_sampling(runs.best), _seeds(runs.best)]


def _sampling(best: pd.DataFrame) -> Question:
    asks = f"binomial standard deviation of a ratio from 10,000 samples and more (at most {NEGLIGIBLE} points)"
    large = best[best["num_samples"] >= ENOUGH_SAMPLES]
    if large.empty:
        return Question(asks, "open", None, f"no run was measured with {ENOUGH_SAMPLES:,} samples")
    p = large["memorization_ratio"].to_numpy(dtype=float)
    deviations = 100 * np.sqrt(p * (1 - p) / large["num_samples"].to_numpy(dtype=float))
    low, high = float(deviations.min()), float(deviations.max())
    effect = Effect("over samples", float(deviations.mean()), low, high, "points (range)", len(large), len(large))
    return Question(asks, "yes" if high <= NEGLIGIBLE else "no", effect)


def _seeds(best: pd.DataFrame) -> Question:
    """The range of three seeds that the pooled variance between repeats, less the binomial one, makes expected."""
    asks = f"expected range of three training seeds beyond binomial noise (95% interval below {SEED_RANGE} points)"
    missing = "needs three seeds of one setting with a ratio between 2% and 98%"
    # Another data seed is another training set: only training seeds may differ.
    keys = [key for key in [*setting_keys(best), "data.seed"] if key in best]
    if not keys or "seed" not in best:
        return Question(asks, "open", None, missing)
    squares = binomial = 0.0
    degrees = count = 0
    for _, group in best.groupby(keys, dropna=False):
        repeats = group.drop_duplicates("seed")
        p = repeats["memorization_ratio"].to_numpy(dtype=float)
        if len(p) < 3 or not 0.02 < p.mean() < 0.98:
            continue
        squares += float(((p - p.mean()) ** 2).sum())
        binomial += float((p * (1 - p) / repeats["num_samples"].to_numpy(dtype=float)).mean()) * (len(p) - 1)
        degrees += len(p) - 1
        count += len(p)
    if degrees == 0:
        return Question(asks, "open", None, missing)
    noise = binomial / degrees
    variances = [float(squares / stats.chi2.ppf(q, degrees)) - noise for q in (0.975, 0.025)]
    low, high = (100 * RANGE_OF_THREE * math.sqrt(max(variance, 0.0)) for variance in variances)
    value = 100 * RANGE_OF_THREE * math.sqrt(max(squares / degrees - noise, 0.0))
    effect = Effect("over seeds", value, low, high, "points", degrees, count)
    return within(asks, effect, below=SEED_RANGE)


def zeta_ordering_stable(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 22: pairs of settings that have an EMM at both zetas, and the share of them in the same order."""
    asks = "share of pairs of EMMs in the same order at zeta 0.1 and 0.2 (none reversed, 95% interval above 50%)"
    curves = [_Curve(stratum) for stratum in cells.strata({"data.size"}) if len(stratum) > 1]
    measured = [curve for curve in curves if all(math.isfinite(curve.emm(zeta)) for zeta in ZETAS)]
    pairs = len(measured) * (len(measured) - 1) // 2
    if pairs < PAIRS:
        missing = f"{pairs} pairs of settings have an EMM at both zetas, {PAIRS} needed"
        return [Question(asks, "open", None, missing)]
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(DRAWS):
        noise = [generator.standard_normal(len(curve.sizes)) for curve in measured]
        shares.append(_concordance(measured, noise))
    value = _concordance(measured, None)
    low, high = np.nanquantile(shares, [0.025, 0.975])
    effect = Effect("concordant pairs", 100 * value, 100 * low, 100 * high, "%", pairs, len(cells.frame))
    answer: Answer = "yes" if value == 1 and low > 0.5 else "no" if high < 1 else "open"
    return [Question(asks, answer, effect)]


class _Curve:
    """Ratios over |D| at one setting, and their logits with deviations."""

    def __init__(self, stratum: pd.DataFrame) -> None:
        columns = stratum.sort_values("data.size")[["data.size", "ratio", "samples", "logit", "variance"]]
        self.sizes, self.ratios, self.samples, self.logit, variance = columns.to_numpy(dtype=float).T
        self.deviations: FloatArray = np.sqrt(variance)

    def emm(self, zeta: float, noise: FloatArray | None = None) -> float:
        """|D| where the closest falling curve crosses 1 - zeta (see `analysis.emm.estimate`); nan where it does not."""
        ratios = self.ratios
        if noise is not None:
            ratios = special.expit(self.logit + noise * self.deviations)
        sizes, falling = monotone_ratios(ValueData(None, self.sizes, ratios, self.samples))
        emm = crossing(sizes, falling, 1 - zeta)
        return emm if 0 < emm < math.inf else math.nan


def _concordance(curves: list[_Curve], noise: list[FloatArray] | None) -> float:
    """The share of pairs in the same order at both zetas; nan where no pair can be compared."""
    emms = np.array(
        [[curve.emm(zeta, noise[i] if noise else None) for zeta in ZETAS] for i, curve in enumerate(curves)]
    )
    first, second = (column[:, None] - column[None, :] for column in emms.T)
    upper = np.triu(np.ones(first.shape, dtype=bool), 1) & np.isfinite(first) & np.isfinite(second)
    return float(np.mean(first[upper] * second[upper] > 0)) if upper.any() else math.nan
