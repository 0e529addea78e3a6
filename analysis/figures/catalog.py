"""Every figure of the study that a table allows, and for the others the reason why not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.bootstrap import bootstrap_data, sample_size_bootstrap
from analysis.figures.emm import ZETAS, emm_by_zeta
from analysis.figures.factor import factor_data, metric_over_factor, metric_over_skips, skips_data
from analysis.figures.gallery import gallery, gallery_data, gallery_rows
from analysis.figures.memorization_time import memorization_time, memorization_time_data
from analysis.figures.metric import epochs_data, metric_over_epochs, metric_over_size, size_data
from analysis.figures.style import DISTINCT
from analysis.inference.emm import group_crossings
from analysis.inference.memorization_time import scaling_groups
from analysis.results.samples import best_samples
from analysis.runs.factors import dataset_title, factor, in_order
from analysis.runs.final import METRICS
from analysis.runs.groups import Group, short_titles
from analysis.runs.labels import names
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError

_MAX_GROUPS = 4
"""So many groups of one kind are drawn; a pooled table can have hundreds."""
_MIN_SIZES, _MIN_EVALUATIONS = 3, 4
"""Below which times over |D| are too few or too coarse for a slope."""
_MIN_CURVE_EVALUATIONS = 3
"""Below which a curve over epochs is a straight line."""
_INTERVALS = "Bars are 95% intervals: of the samples for a single trial, of samples and training seeds for several."
_OVER_SEEDS = "Bars are 95% intervals over training seeds (Student); a single seed has none."
_OTHER_METRICS = {"fid": (12, 13, 14, 15), "knn_distance": (17, 18, 19, 20)}
"""The paper's figures of data, model, skip connections and conditioning by metric (FFHQ: 16 and 21)."""


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        name: a file name without suffix, unique in a catalog.
        title: for a heading.
        paper: the figure or table of the paper that it redraws; empty for none.
        data: what is drawn.
        bars: what its bars mean, in a sentence; empty where it has none.
    """

    name: str
    title: str
    paper: str
    figure: Figure
    data: pd.DataFrame
    bars: str


@dataclass(frozen=True)
class Missing:
    """A figure that the table does not allow."""

    title: str
    reason: str


def figures(runs: Runs, metric: str = "memorization_ratio", zeta: float = 0.1) -> Iterator[Drawn | Missing]:
    """All figures of some runs, one after the other.

    Args:
        runs: of any number of sweeps.
        metric: `memorization_ratio`, `fid` or `knn_distance`; the gallery, the sample size, EMM by zeta and the
            memorization time belong to the ratio alone.
        zeta: see `analysis.figures.metric`.

    Raises:
        MemosweepError: an unknown metric.
    """
    if metric not in METRICS:
        raise MemosweepError(f"metric {metric} is unknown: {', '.join(METRICS)} are known")
    rows = runs.counted.evaluations
    if metric not in rows or rows[metric].isna().all():
        yield Missing(f"all figures of {metric}", f"no run reports {metric}")
        return
    everything = runs.counted.where(rows[metric].notna())
    runs = everything.networks
    left_out = everything.num_trials - runs.num_trials
    if left_out:
        # Flat lines at 100% say no more than one sentence does.
        yield Missing("closed-form optimum", f"its {left_out} trials are not drawn beside networks: nothing moves them")
    keys = runs.factors
    yield from _over_epochs(runs, keys, metric)
    yield from _over_size(runs, keys, metric, zeta)
    yield from _over_factor(runs, keys, metric)
    if "model.skip_connections" in keys:
        yield from _over_skips(runs, metric)
    if metric == "memorization_ratio":
        yield from _zetas(runs, keys)
        yield from _memorization_time(runs)
        yield from _from_samples(runs)


def _name(start: str, key: str, number: int, metric: str) -> str:
    short = key.rpartition(".")[2]
    prefix = "ratio" if metric == "memorization_ratio" else metric
    return f"{prefix}_{start}_{short}" + (f"_{number + 1}" if number else "")


def _paper(key: str, known: str, metric: str) -> str:
    if metric == "memorization_ratio":
        return known
    data, model, skips, labels = _OTHER_METRICS[metric]
    by_key = {"data.labels": labels, "data.num_labels": labels, "model.skip_connections": skips}
    number = by_key.get(key) or {"data": data, "model": model}.get(key.partition(".")[0])
    return f"Fig. {number}" if number else ""


def _bars(metric: str, over_epochs: bool = False) -> str:
    if metric == "memorization_ratio":
        return _INTERVALS
    return "Bars span the training seeds; a single seed has none." if over_epochs else _OVER_SEEDS


def _titled(found: Sequence[Group], most: int = _MAX_GROUPS) -> Iterator[tuple[int, Group, str]]:
    """The groups that are drawn, with their numbers and titles: those with most settings."""
    # A title distinguishes a group from its neighbors, also where these are not drawn.
    for number, title in enumerate(short_titles(found, max(most, _MAX_GROUPS))[:most]):
        yield number, found[number], title


def _further(found: Sequence[Group], title: str, most: int = _MAX_GROUPS) -> Iterator[Missing]:
    """Say which groups are not drawn, where there are more than `most`."""
    count = len(found) - most
    if count > 0:
        drawn = "the one with most settings is" if most == 1 else f"the {most} with most settings are"
        further = "1 further group" if count == 1 else f"{count} further groups"
        yield Missing(f"{title}, {further} of runs", f"{drawn} drawn")


def pictured(runs: Runs, name: str) -> str:
    """Return the title inside a figure, which may be shown without its page: the data set, and what is fixed."""
    return ": ".join(filter(None, (dataset_title(runs.evaluations), name)))


def _heading(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _over_epochs(runs: Runs, keys: list[str], metric: str) -> Iterator[Drawn | Missing]:
    counts = runs.evaluations.groupby(["experiment", "trial_id"]).size()
    if counts.max() < _MIN_CURVE_EVALUATIONS:
        yield Missing("over epochs", f"it needs {_MIN_CURVE_EVALUATIONS} evaluations a trial at least")
        return
    for key in ("data.size", *keys):
        found = runs.groups(key, within=())
        if not found:
            yield Missing(f"over epochs by {factor(key).title}", "no two trials differ in it alone")
        for number, group, name in _titled(found):
            title = _heading(f"Training, by {factor(key).title}", name)
            data = epochs_data(group.runs, key, metric)
            figure = metric_over_epochs(group.runs, key, metric, pictured(group.runs, name), data)
            yield Drawn(_name("over_epochs_by", key, number, metric), title,
                        _paper(key, factor(key).over_epochs, metric), figure, data,
                        _bars(metric, over_epochs=True))  # fmt: skip
        yield from _further(found, f"over epochs by {factor(key).title}")


def _over_size(runs: Runs, keys: list[str], metric: str, zeta: float) -> Iterator[Drawn | Missing]:
    for key in keys or ["data.size"]:
        found = _with_sizes(runs, key)
        if not found:
            yield Missing(f"over |D| by {factor(key).title}", "every such trial has the same |D|")
        for number, group, name in _titled(found):
            title = _heading("Over |D|" + (f", by {factor(key).title}" if key != "data.size" else ""), name)
            data = size_data(group.runs, key, metric)
            figure = metric_over_size(group.runs, key, metric, zeta, pictured(group.runs, name), data)
            yield Drawn(_name("over_size_by", key, number, metric), title, _paper(key, factor(key).over_size, metric),
                        figure, data, _bars(metric))  # fmt: skip
        yield from _further(found, f"over |D| by {factor(key).title}")


def _with_sizes(runs: Runs, key: str) -> list[Group]:
    """The groups of a factor that have two sizes at least."""
    return [group for group in runs.groups(key) if len(group.runs.evaluations["data.size"].unique()) > 1]


def _over_factor(runs: Runs, keys: list[str], metric: str) -> Iterator[Drawn | Missing]:
    if not keys:
        yield Missing("over a factor", "no two trials differ in one factor alone, |D| aside")
    for key in keys:
        found = runs.groups(key)
        for number, group, name in _titled(found):
            data = factor_data(group.runs, key, metric=metric)
            if not data["data.size"].duplicated().any():
                yield Missing(_heading(f"over {factor(key).title}", name), "no |D| was run with two of its values")
                continue
            title, paper = _heading(f"Over {factor(key).title}", name), _paper(key, factor(key).over_factor, metric)
            figure = metric_over_factor(group.runs, key, metric, title=pictured(group.runs, name), data=data)
            yield Drawn(_name("over", key, number, metric), title, paper, figure, data, _bars(metric))
        yield from _further(found, f"over {factor(key).title}")


def _over_skips(runs: Runs, metric: str) -> Iterator[Drawn | Missing]:
    drawn = 0
    found = runs.groups("model.skip_connections", within=())
    for _, group, name in _titled(found):
        data = skips_data(group.runs, metric)
        if data.empty:
            continue
        rows = group.runs.evaluations
        resolution = rows["data.resolution"].iloc[0] if "data.resolution" in rows else None
        title = _heading("Skip connections by resolution and place", name)
        figure = metric_over_skips(data, None if pd.isna(resolution) else int(resolution), metric,
                                   pictured(group.runs, name))  # fmt: skip
        paper = _paper("model.skip_connections", "Fig. 4, 8", metric)
        yield Drawn(_name("over", "skip_places", drawn, metric), title, paper, figure, data, _bars(metric))
        drawn += 1
    yield from _further(found, "skip connections by place")
    if not drawn:
        yield Missing("skip connections by place", "no mask keeps connections of one resolution only")


def _zetas(runs: Runs, keys: list[str]) -> Iterator[Drawn | Missing]:
    for key in keys:
        found = _with_sizes(runs, key)
        if not found:
            yield Missing(f"EMM by zeta, {factor(key).title}", "every such trial has the same |D|")
        for number, group, name in _titled(found, most=1):
            data = group_crossings(group, ZETAS)
            crossing = data[data["kind"].isin(["measured", "uncertain"])]
            sizes = sorted(set(group.runs.evaluations["data.size"]))
            if crossing.empty:
                yield Missing(f"EMM by zeta, {factor(key).title}", "no ratio crosses 1 - zeta between two sizes")
                continue
            if ((crossing["emm_low"] <= sizes[0]) & (crossing["emm_high"] >= sizes[-1])).all():
                yield Missing(f"EMM by zeta, {factor(key).title}", "every interval spans all sizes that were run")
                continue
            figure = emm_by_zeta(data, key, sizes, pictured(group.runs, name))
            bars = "Bars are 95% intervals; triangles are bounds and point to where the EMM lies."
            title = _heading(f"EMM by zeta, {factor(key).title}", name)
            yield Drawn(_name("emm_by_zeta", key, number, "emm")[4:], title, "Fig. 22", figure, data, bars)
        yield from _further(found, f"EMM by zeta, {factor(key).title}", most=1)


def _memorization_time(runs: Runs) -> Iterator[Drawn | Missing]:
    title = "Memorization time"
    evaluations = runs.evaluations.groupby(["experiment", "trial_id"]).size()
    if evaluations.max() < _MIN_EVALUATIONS:
        yield Missing(title, f"it needs {_MIN_EVALUATIONS} evaluations a trial at least")
        return
    usable = scaling_groups(runs)
    parts = {
        name: memorization_time_data(group.runs, clock="images_seen") for _, group, name in _titled(usable, DISTINCT)
    }
    parts = {name: part for name, part in parts.items() if part.sizes_passed >= _MIN_SIZES}
    if not parts:
        yield Missing(title, f"no setting passes 50% between two evaluations at {_MIN_SIZES} sizes")
        return
    data = pd.concat([part.times.assign(setting=name) for name, part in parts.items()], ignore_index=True)
    bars = "Bars span the evaluations before and after the passage; open marks are bounds; the lines are fitted."
    figure = memorization_time(parts, clock="images_seen", title=pictured(runs, ""))
    yield Drawn("memorization_time", title, "", figure, data, bars)
    yield from _further(usable, "memorization time", DISTINCT)


def _from_samples(runs: Runs) -> Iterator[Drawn | Missing]:
    rows = gallery_rows(runs)
    if not rows:
        yield Missing("gallery and sample size", "no trial has a checkpoint with its samples (best.npz)")
        return
    title = "Generated images above their nearest training images"
    yield Drawn("gallery", title, "Fig. 1a-b, 10", gallery(rows, title=pictured(runs, "")), gallery_data(rows), "")
    if not (runs.best["memorization_ratio"] > 0).any():
        yield Missing("sample size", "nothing was memorized: at a ratio of 0 every number of samples gives 0")
        return
    data = bootstrap_data(_memorized(runs))
    bars = "Bars hold the central 95% of the bootstrap draws."
    yield Drawn("sample_size", "Bootstrap of the sample size", "Fig. 6", sample_size_bootstrap(data), data, bars)


def _memorized(runs: Runs, limit: int = 4) -> dict[str, NDArray[np.bool_]]:
    """Flags of trials, those of ratios near 50% first, where the deviation is largest, and of each |D| one first."""
    best = runs.best
    best = best.assign(off=(best["memorization_ratio"] - 0.5).abs()).sort_values("off", kind="stable")
    best = best.assign(turn=best.groupby("data.size").cumcount()).sort_values(["turn", "off"], kind="stable")
    keys = [key for key in runs.varied if not key.startswith("evaluation.")]
    shown: list[tuple[pd.Series, NDArray[np.bool_]]] = []
    seen: set[tuple[str, ...]] = set()
    for _, run in best.iterrows():
        samples = best_samples(run["folder"])
        setting = tuple(str(run[key]) for key in keys)
        if samples is not None and setting not in seen:
            seen.add(setting)
            shown.append((run, samples["memorized"].astype(bool)))
        if len(shown) == limit:
            break
    places = [{str(value): place for place, value in enumerate(in_order(key, (run[key] for run, _ in shown)))}
              for key in keys]  # fmt: skip
    shown.sort(key=lambda entry: [place[str(entry[0][key])] for key, place in zip(keys, places, strict=True)])
    labels = names(pd.DataFrame([run[keys] for run, _ in shown]), among=best[keys])
    repeats = [labels[:place].count(label) for place, label in enumerate(labels)]
    unique = [f"{label or 'one trial'}" + (f" #{count + 1}" if count else "")
              for label, count in zip(labels, repeats, strict=True)]  # fmt: skip
    return {label: flags for label, (_, flags) in zip(unique, shown, strict=True)}
