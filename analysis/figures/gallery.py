"""Generated images above their nearest training images, memorized ones marked: Fig. 1a, 1b and 10."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from analysis.figures.style import PALETTE
from analysis.results.samples import best_samples
from analysis.runs.factors import factor, ratio_text, value_label
from analysis.runs.final import is_lower_bound
from analysis.runs.labels import names
from analysis.runs.runs import Runs

_CAPTION = (
    "Above: generated samples, the share of replicas as among all of them; below: the nearest training image of each; "
    "framed: replicas."
)
COLUMNS = 16
"""Pairs in a row."""
Samples = Mapping[str, NDArray[np.generic]]
_GAP = 0.08
"""White between images, as a share of a place."""


@dataclass(frozen=True)
class GalleryRow:
    """Samples of one trial's best evaluation (`shown_samples`), and the nearest training images, (N, C, H, W) each."""

    title: str
    generated: NDArray[np.generic]
    nearest: NDArray[np.generic]
    memorized: NDArray[np.bool_]
    """(N,)."""


def gallery_rows(runs: Runs, varied: Sequence[str] | None = None, limit: int = 6) -> list[GalleryRow]:
    """Trials with samples, from most to least memorizing; see `shown_trials`. Each is named by its |D|, too.

    Args:
        runs: `folder` says where the samples of each trial are.
        varied: the dotted keys that name a trial; none takes those that differ among the trials.
        limit: rows at most.
    """
    keys = [key for key in (runs.counted.varied if varied is None else varied) if not key.startswith("evaluation.")]
    best = runs.best
    chosen = shown_trials(runs, limit)
    # A single row is named by what distinguishes it from all runs.
    settings = pd.DataFrame([run[keys] for run, _ in chosen])
    settings = settings if len(chosen) > 1 else pd.concat([settings, best[keys]])
    short_names = names(settings, among=best[keys])[: len(chosen)]
    factors = [_factor_to_add(name, run, runs) for name, (run, _) in zip(short_names, chosen, strict=True)]
    rows = []
    for (run, samples), short in zip(chosen, short_names, strict=True):
        name = _with_factors(short, run, [key for key in dict.fromkeys(["data.size", *factors]) if key])
        ratio = f"{ratio_text(100 * run['memorization_ratio'], is_lower_bound(run), 1)}% memorized"
        title = f"{name}: {ratio}" if name else ratio
        order = shown_samples(samples)
        images, nearest, memorized = (samples[key][order] for key in ("generated", "nearest", "memorized"))
        rows.append(GalleryRow(title, images, nearest, memorized.astype(bool)))
    return rows


def shown_samples(samples: Samples, count: int = COLUMNS) -> NDArray[np.intp]:
    """Return the places of samples to show: replicas first, in the share that they have among all samples.

    Where there are both kinds, at least one of each is shown.

    Args:
        samples: of one evaluation; the images of the first ones were kept.
        count: of the samples to show.
    """
    memorized = samples["memorized"].astype(bool)
    kept = memorized[: len(samples["generated"])]
    replicas, others = np.flatnonzero(kept), np.flatnonzero(~kept)
    share = round(count * float(memorized.mean()))
    share = min(len(replicas), max(share, min(1, len(replicas)), count - len(others)))
    if len(others) and share == count:
        share -= 1
    return np.concatenate([replicas[:share], others[: count - share]])


def shown_trials(runs: Runs, limit: int) -> list[tuple[pd.Series, Samples]]:
    """Return trials that show the effect of the studied factor with their samples, from most to least memorizing.

    One trial for each of its values, at the |D| at which most values were run, and of several such the one at which
    their ratios differ most. Where two of these left no samples, trials evenly spaced over their ratios.

    Args:
        runs: the counted ones are shown.
        limit: trials at most.
    """
    found = _with_samples(_by_value(runs), limit)
    if len(found) > 1:
        return found
    return _with_samples(runs.best.sort_values("memorization_ratio", ascending=False, kind="stable"), limit)


def _with_samples(trials: pd.DataFrame, limit: int) -> list[tuple[pd.Series, Samples]]:
    places = np.linspace(0, len(trials) - 1, min(limit, len(trials))).round().astype(int)
    rows = ((run, best_samples(run["folder"])) for _, run in trials.iloc[places].iterrows())
    return [(run, samples) for run, samples in rows if samples is not None]


def _by_value(runs: Runs) -> pd.DataFrame:
    """The trials of `shown_trials`, whether they left samples or not; all where no factor has groups."""
    ordered = runs.best.sort_values("memorization_ratio", ascending=False, kind="stable")
    studied = {str(sweep.get("key")) for sweep in runs.sweeps.values()} & {*runs.factors, "data.size"}
    key = min(studied) if len(studied) == 1 else next(iter(runs.factors), "data.size")
    found = runs.groups(key)
    if found:
        part = found[0].runs.best.sort_values("memorization_ratio", ascending=False, kind="stable")
        if key != "data.size":
            by_size = part.groupby("data.size")
            ratios = by_size["memorization_ratio"]
            order = pd.DataFrame({"values": by_size[key].nunique(dropna=False), "effect": ratios.max() - ratios.min()})
            part = part[part["data.size"] == order.sort_values(["values", "effect"], kind="stable").index[-1]]
        ordered = part.drop_duplicates(key)
    return ordered


def _factor_to_add(name: str, run: pd.Series, runs: Runs) -> str:
    """The factor of a run's sweep where its name does not hold it, else nothing."""
    key = str(runs.sweeps.get(str(run.get("experiment")), {}).get("key"))
    known = key in run.index and not (pd.isna(run[key]) and factor(key).missing in ("none", "-"))
    return key if known and value_label(key, run[key]) not in name.split(", ") else ""


def _with_factors(name: str, run: pd.Series, keys: Sequence[str]) -> str:
    """A name with further settings in front: a factor that one row names all rows name that have it."""
    added = [value_label(key, run[key]) for key in keys if not pd.isna(run[key])]
    return ", ".join(filter(None, [*(text for text in added if text not in name.split(", ")), name]))


def gallery_data(rows: Sequence[GalleryRow], columns: int = COLUMNS) -> pd.DataFrame:
    """What `gallery` frames: `title`, `column` and `memorized` of each pair shown."""
    shown = [(row.title, column, bool(row.memorized[column]))
             for row in rows for column in range(min(columns, len(row.generated)))]  # fmt: skip
    return pd.DataFrame(shown, columns=["title", "column", "memorized"])


def gallery(rows: Sequence[GalleryRow], columns: int = COLUMNS, title: str = "") -> Figure:
    """Draw pairs of rows: samples, and below each the nearest training image; replicas are framed."""
    color = sns.color_palette(PALETTE)[3]
    figure = Figure(figsize=(0.55 * columns, 1.45 * len(rows)), layout="constrained", facecolor="white")
    for row, axes in zip(rows, figure.subplots(len(rows), 1, squeeze=False).flat, strict=True):
        count = min(columns, len(row.generated))
        axes.imshow(_tiled(row, count), extent=(0, count, 0, 2), interpolation="nearest", cmap="gray", vmin=0, vmax=255)
        axes.set(xlim=(0, columns), ylim=(0, 2), xticks=[], yticks=[])
        axes.set_title(row.title, fontsize=8, loc="left", parse_math=False)
        axes.axis("off")
        for column in np.flatnonzero(row.memorized[:count]):
            for line in (0, 1):
                corner = (column + _GAP / 2, line + _GAP / 2)
                axes.add_patch(Rectangle(corner, 1 - _GAP, 1 - _GAP, fill=False, edgecolor=color, linewidth=2.2))
    if title:
        figure.suptitle(title, fontsize=9, parse_math=False)
    figure.supxlabel(_CAPTION, fontsize=7, color="0.35")
    return figure


def _tiled(row: GalleryRow, count: int) -> NDArray[np.float64]:
    """Both lines as one picture, pixels repeated so that the white gap is a small share of an image; gray or RGB."""
    lines = np.stack([row.generated[:count], row.nearest[:count]]).astype(float)
    repeat = max(1, 64 // lines.shape[-1])
    lines = lines.repeat(repeat, axis=-1).repeat(repeat, axis=-2)
    gap = max(1, round(lines.shape[-1] * _GAP / 2))
    lines = np.pad(lines, [(0, 0), (0, 0), (0, 0), (gap, gap), (gap, gap)], constant_values=255.0)
    _, _, channels, height, width = lines.shape
    picture = lines.transpose(0, 3, 1, 4, 2).reshape(2 * height, count * width, channels)
    return picture[..., 0] if channels == 1 else picture / 255
