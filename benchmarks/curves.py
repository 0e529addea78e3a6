"""Curves to replay: the true memorization ratio over the size of the training set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from analysis.emm.search.trainings import MAX_SIZE

FloatArray = npt.NDArray[np.float64]
COLUMNS = ("curve", "size", "ratio")


@dataclass(frozen=True)
class Curve:
    """A true ratio at many sizes, linear in ln size between them.

    Attributes:
        name: of the curve.
        sizes: (N,) ascending, >= 1.
        ratios: (N,) in [0, 1].
    """

    name: str
    sizes: FloatArray
    ratios: FloatArray

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest whole size on the curve."""
        return int(np.ceil(self.sizes[0] - 1e-9)), int(np.floor(self.sizes[-1] + 1e-9))

    def ratio(self, size: float) -> float:
        """The true ratio at a size within the curve's range."""
        return float(np.interp(np.log(size), np.log(self.sizes), self.ratios))

    def emm(self, target: float, min_size: int, max_size: int) -> float | None:
        """Largest size in [min_size, max_size] with ratio >= target (Definition 2.1).

        None where the ratio still reaches the target at `max_size`, or reaches it nowhere: the EMM is
        then outside what can be trained.
        """
        inside = (self.sizes > min_size) & (self.sizes < max_size)
        sizes = np.concatenate([[min_size], self.sizes[inside], [max_size]])
        ratios = np.array([self.ratio(s) for s in sizes])
        reach = np.flatnonzero(ratios >= target)
        if not len(reach) or reach[-1] == len(sizes) - 1:
            return None
        i = int(reach[-1])
        share = (ratios[i] - target) / (ratios[i] - ratios[i + 1])
        return float(np.exp(np.log(sizes[i]) + share * np.log(sizes[i + 1] / sizes[i])))


def read_curves(path: str | Path) -> list[Curve]:
    """Curves of a CSV file with the columns curve, size, ratio.

    Raises:
        ValueError: unreadable file, missing columns, sizes or ratios that are no numbers or out of range,
            a size twice, or a curve of one size.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, header=None)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"cannot read curves from {path}: {str(error).splitlines()[0]}") from error
    header = table.iloc[0].str.strip().tolist()
    table = table.iloc[1:].reset_index(drop=True).set_axis(header, axis=1)
    twice = [c for c in COLUMNS if header.count(c) > 1]
    if twice:
        raise ValueError(f"{path} has the column {twice[0]} twice")
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise ValueError(f"{path} lacks the column(s) {', '.join(missing)}: it needs curve, size, ratio")
    if table.empty:
        raise ValueError(f"{path} holds no rows")
    for column in ("size", "ratio"):
        numbers = pd.to_numeric(table[column].str.strip(), errors="coerce")
        wrong = ~np.isfinite(numbers.to_numpy(float))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{path} line {row + 2}: {column} {table[column].iloc[row]!r} is no number")
        table[column] = numbers.astype(float)
    _in_range(table, path)
    table["curve"] = table["curve"].str.strip()
    if (table["curve"] == "").any():
        raise ValueError(f"{path} line {int(np.argmax(table['curve'] == '')) + 2}: the curve has no name")
    curves = []
    for name, rows in table.groupby("curve", sort=False):
        ordered = rows.sort_values("size")
        sizes = ordered["size"].to_numpy(float)
        if len(sizes) < 2:
            raise ValueError(f"{path}: curve {name!r} has one size, it needs two or more")
        if np.any(np.diff(sizes) == 0):
            raise ValueError(f"{path}: curve {name!r} has size {sizes[:-1][np.diff(sizes) == 0][0]:g} twice")
        curves.append(Curve(str(name), sizes, ordered["ratio"].to_numpy(float)))
    return curves


def _in_range(table: pd.DataFrame, path: str | Path) -> None:
    for column, wrong, rule in (
        ("size", (table["size"] < 1) | (table["size"] > MAX_SIZE), "a size lies between 1 and 10^15"),
        ("ratio", (table["ratio"] < 0) | (table["ratio"] > 1), "a ratio lies in [0, 1], not in percent"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong.to_numpy()))
            raise ValueError(f"{path} line {row + 2}: {column} {table[column].iloc[row]:g}: {rule}")


def from_function(name: str, ratio: Callable[[FloatArray], FloatArray], low: int, high: int) -> Curve:
    """A curve from a formula, sampled at 400 sizes."""
    sizes = np.geomspace(low, high, 400)
    return Curve(name, sizes, np.clip(ratio(sizes), 0.0, 1.0))


def logistic(name: str, emm: float, slope: float, target: float = 0.9, *, low: int = 100, high: int = 50_000) -> Curve:
    """logit(ratio) = logit(target) - slope ln(size / emm)."""
    offset = special.logit(target)
    return from_function(name, lambda n: special.expit(offset - slope * np.log(n / emm)), low, high)


def published(low: int = 100, high: int = 50_000) -> list[Curve]:
    """Tables 1, 2 and 4 of the paper: logits joined linearly in ln size, the end pieces prolonged."""
    folder = resources.files("analysis") / "paper"
    curves = []
    for file, factor in (
        ("batch_size", "batch_size"),
        ("weight_decay", "weight_decay"),
        ("conditioning", "labels"),
    ):
        with (folder / f"{file}.csv").open() as stream:
            table = pd.read_csv(stream)
        for value, rows in table.groupby(factor, sort=False):
            if value == "unique":
                # Never below 99.5%, up and down by 0.3 points: prolonging such a line means nothing.
                curves.append(Curve("labels=unique", np.array([low, high], float), np.array([0.998, 0.996])))
                continue
            ratios = np.clip(rows["memorization_ratio"].to_numpy(float) / 100, 1e-4, 1 - 1e-4)
            curves.append(_joined(f"{factor}={value}", rows["size"].to_numpy(float), ratios, low, high))
    return curves


def published_ratios() -> list[Curve]:
    """Table 4's none and true labels between 1k and 5k, the ratios and not their logits joined linearly in ln size."""
    with (resources.files("analysis") / "paper" / "conditioning.csv").open() as stream:
        table = pd.read_csv(stream)
    return [
        Curve(f"labels={value!s}", rows["size"].to_numpy(float), rows["memorization_ratio"].to_numpy(float) / 100)
        for value, rows in table.groupby("labels", sort=False)
        if value in ("none", "true")
    ]


def _joined(name: str, sizes: FloatArray, ratios: FloatArray, low: int, high: int) -> Curve:
    x, y = np.log(sizes), special.logit(ratios)
    left, right = (y[1] - y[0]) / (x[1] - x[0]), (y[-1] - y[-2]) / (x[-1] - x[-2])

    def ratio(size: FloatArray) -> FloatArray:
        at = np.log(size)
        inner = np.interp(at, x, y)
        below, above = np.minimum(at - x[0], 0) * left, np.maximum(at - x[-1], 0) * right
        return np.asarray(special.expit(inner + below + above))

    return from_function(name, ratio, low, high)


def unfriendly(low: int = 100, high: int = 50_000) -> Mapping[str, Curve]:
    """Curves that the line does not fit."""
    line = special.logit(0.9)

    def sloped(emm: float, slope: float) -> Callable[[FloatArray], FloatArray]:
        return lambda n: special.expit(line - slope * np.log(n / emm))

    def saturating(n: FloatArray) -> FloatArray:
        return np.asarray(0.95 * sloped(2000, 2.9)(n))

    def bumped(n: FloatArray) -> FloatArray:
        return sloped(1500, 2.9)(n) - 0.2 * np.exp(-((np.log(n / 700) / 0.2) ** 2))

    formulas: dict[str, Callable[[FloatArray], FloatArray]] = {
        "cliff 0.99 to 0.01": lambda n: np.where(n < 2000, 0.99, 0.01),
        "cliff 1 to 0": lambda n: np.where(n < 2000, 1.0, 0.0),
        "cliff 0.93 to 0.01": lambda n: np.where(n < 2000, 0.93, 0.01),
        "plateau below, 0.6": lambda n: np.full_like(n, 0.6),
        "plateau above, 0.97": lambda n: np.full_like(n, 0.97),
        "saturates at 0.95": saturating,
        "non-monotone": bumped,
        "slope 0.7": sloped(2000, 0.7),
        "slope 1.2": sloped(2000, 1.2),
        "slope 7": sloped(2000, 7.0),
        "slope 12": sloped(2000, 12.0),
    }
    return {name: from_function(name, formula, low, high) for name, formula in formulas.items()}
