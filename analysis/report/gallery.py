"""Samples above their nearest training images, as data URIs; replicas marked by frame and word."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analysis.figures.gallery import shown_samples, shown_trials
from analysis.report.overview import Overview, setting_text
from analysis.results.samples import IMAGES, PER_SAMPLE, best_samples, prompts_of
from analysis.runs.factors import ratio_text
from analysis.runs.final import is_lower_bound
from analysis.runs.runs import Runs
from memo_core.errors import plural

ROWS = 8
SIDE = 52
"""CSS pixels a side that an image is enlarged to, as nearly as a whole multiple allows."""
COLUMNS = 16


@dataclass(frozen=True)
class Pair:
    """One sample and its nearest training image, PNGs as data URIs."""

    generated: str
    nearest: str
    replica: bool
    label: str


@dataclass(frozen=True)
class Row:
    """Samples of one trial's best evaluation, replicas first in the share that they have among all."""

    title: str
    note: str
    side: int
    """CSS pixels a side: a whole multiple of the image's own, so that all of its pixels are equally large."""
    pairs: tuple[Pair, ...]


def gallery(runs: Runs, overview: Overview) -> list[Row]:
    """Rows for finished trials that left samples; see `analysis.figures.gallery.shown_trials`."""
    found = []
    for run, samples in shown_trials(runs.finished, ROWS):
        ratio = ratio_text(100 * run["memorization_ratio"], is_lower_bound(run), 1)
        # Beside the pictures |D| says how many images there are to replicate, also where it is the same for all.
        keys = dict.fromkeys(["data.size", *overview.varied])
        title = f"{setting_text(run, keys, overview.base)}: ratio {ratio}%"
        found.append(_row(title, samples, int(run["data.size"])))
    return found + _rows_by_prompt(runs, overview)


def _rows_by_prompt(runs: Runs, overview: Overview) -> list[Row]:
    """Rows for the prompts of the trial that memorized most, those with the most replicas; none without prompts."""
    best = runs.finished.best
    if "text.prompt" not in best:
        return []
    for _, run in best.sort_values("memorization_ratio", ascending=False, kind="stable").iterrows():
        samples = best_samples(run["folder"])
        if samples is None or len(samples.get("prompts", ())) < 2:
            continue
        setting = setting_text(run, overview.varied, overview.base)
        memorized, index = samples["memorized"].astype(bool), samples["prompt_index"]
        replicas = np.bincount(index[memorized], minlength=len(samples["prompts"]))
        # Pictures are kept of the first samples alone, which need not have all prompts.
        pictured = np.unique(index[: len(samples["generated"])])
        shown = pictured[np.argsort(-replicas[pictured], kind="stable")[:ROWS]]
        rows = [
            _row(f"{setting}, {str(samples['prompts'][prompt])!r}", _of_prompt(samples, prompt), int(run["data.size"]))
            for prompt in shown
        ]
        others = int((np.delete(replicas, pictured) > replicas[shown].min()).sum())
        if others:
            left_out = (
                f"; {plural(others, 'prompt')} with more replicas than some of these left no pictures, which are kept "
                f"of the first {plural(len(samples['generated']), 'sample')}"
            )
            rows[0] = replace(rows[0], note=rows[0].note + left_out)
        return rows
    return []


def _of_prompt(samples: Mapping[str, NDArray[np.generic]], prompt: int) -> Mapping[str, NDArray[np.generic]]:
    """The samples of one prompt; those that are shown first, as in the whole."""
    own = samples["prompt_index"] == prompt
    shown = own[: len(samples["generated"])]
    return {
        name: array[shown] if name in IMAGES else array[own] if name in (*PER_SAMPLE, "prompt_index") else array
        for name, array in samples.items()
    }


def _row(title: str, samples: Mapping[str, NDArray[np.generic]], size: int) -> Row:
    generated, nearest = samples["generated"], samples["nearest"]
    memorized = samples["memorized"].astype(bool)
    prompts = prompts_of(samples)
    pairs = tuple(
        Pair(
            data_uri(generated[index]),
            data_uri(nearest[index]),
            bool(memorized[index]),
            f"sample {index + 1}{', a replica' if memorized[index] else ''}"
            + (f", {prompts[index]!r}" if prompts else ""),
        )
        for index in shown_samples(samples, COLUMNS)
    )
    return Row(title, _concentration(samples, memorized, size), _side(int(generated.shape[-1])), pairs)


def _side(pixels: int) -> int:
    return pixels * max(1, round(SIDE / pixels))


def _concentration(samples: Mapping[str, NDArray[np.generic]], memorized: NDArray[np.bool_], size: int) -> str:
    """Which training images are replicated, and how unevenly."""
    replicas = f"{plural(int(memorized.sum()), 'replica')} among {plural(len(memorized), 'sample')}"
    if not memorized.any():
        return replicas
    _, counts = np.unique(samples["nearest_index"][memorized], return_counts=True)
    return (
        f"{replicas}, of {len(counts):,} of the {size:,} training images; "
        f"the most frequent one {int(counts.max()):,} times"
    )


def data_uri(image: NDArray[np.generic]) -> str:
    """A (C, H, W) uint8 image as a PNG inside the page."""
    pixels = np.moveaxis(np.asarray(image, dtype=np.uint8), 0, 2)
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3]).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
