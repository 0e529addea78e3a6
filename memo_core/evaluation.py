"""One evaluation: samples of the averaged model, compared with the training set."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from memo_core.data.training_set import load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import EvaluationConfig, Experiment
from memo_core.measure.faiss_search import neighbor_search
from memo_core.measure.fid import FrechetDistance
from memo_core.measure.memorization import Memorization, measure_memorization
from memo_core.model.denoiser import Denoiser
from memo_core.model.optimum import OptimalDenoiser
from memo_core.randomness import image_seeds
from memo_core.sampling import generate

GALLERY_SIZE = 64

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]

NextBatch = Callable[[int, int], int]
"""(memorized samples, samples drawn so far) -> samples to draw before the next look; 0 stops."""

Generate = Callable[..., tuple[Tensor, Tensor | None]]
"""A function like `generate`."""


@runtime_checkable
class Sampler(Protocol):
    """Draws images of a model."""

    def __call__(
        self, seeds: Sequence[int], on_batch: Callable[[int], None] | None = None, /
    ) -> UInt8[Tensor, "n c h w"]:
        """Return one image per seed, on the CPU; `on_batch` is called with the number of images just finished.

        Raises:
            NotFiniteError: a sample is NaN or infinite.
        """
        ...


def sampler_of(denoiser: Denoiser, settings: EvaluationConfig, generate: Generate = generate) -> Sampler:
    """Return what draws images of a denoiser, as an evaluation does.

    Args:
        denoiser: what is sampled.
        settings: steps, batches and sampler.
        generate: draws; the ranks of a training may share the work.
    """

    def draw(seeds: Sequence[int], on_batch: Callable[[int], None] | None = None, /) -> UInt8[Tensor, "n c h w"]:
        return generate(
            denoiser, seeds, settings.steps, settings.batch_size, on_batch=on_batch, sampler=settings.sampler
        )[0]

    return draw


@dataclass(frozen=True)
class Evaluation:
    """What a trial reports at one point of its training, and the samples behind it."""

    metrics: dict[str, float | int]
    """The reported numbers by their public names: `epoch`, `images_seen`, `loss`, `memorization_ratio`, ..."""
    memorization: Memorization
    generated: UInt8[Tensor, "n c h w"]
    """The first samples, for the gallery."""
    nearest: UInt8[Tensor, "n c h w"]
    """Their nearest training images."""
    conditions: Mapping[str, Array] = field(default_factory=dict)
    """What all samples were drawn for (`memo_core.training.learner.Learner.conditions`)."""

    def arrays(self) -> dict[str, Array]:
        """Return the samples as arrays, for the file that the analysis reads."""
        return {
            "memorized": self.memorization.memorized.numpy(),
            "nearest_index": self.memorization.nearest_index.numpy().astype(np.int32),
            "nearest_distance": self.memorization.nearest_distance.numpy().astype(np.float32),
            "second_distance": self.memorization.second_distance.numpy().astype(np.float32),
            "generated": self.generated.numpy(),
            "nearest": self.nearest.numpy(),
            **self.conditions,
        }


def evaluate(
    sampler: Sampler,
    training_images: UInt8[Tensor, "m c h w"],
    experiment: Experiment,
    on_batch: Callable[[int], None] | None = None,
    next_batch: NextBatch | None = None,
    fid: FrechetDistance | None = None,
) -> tuple[Memorization, UInt8[Tensor, "g c h w"]]:
    """Draw the experiment's samples and measure them.

    Args:
        sampler: of the averaged model, or any other.
        training_images: the training set, uint8.
        experiment: says how many samples, with how many steps, from which seeds.
        on_batch: called with the number of samples just drawn.
        next_batch: called with the memorized and the drawn samples so far, answers how many more to draw before
            the next look, 0 to stop; None draws all `evaluation.num_samples` at once.
        fid: counts the samples in; the caller takes its value.

    Returns:
        The measure of all samples drawn, and the first `GALLERY_SIZE` of them.

    Raises:
        NotFiniteError: a sample is NaN or infinite; nothing is measured.
    """
    settings = experiment.evaluation
    seeds = image_seeds(experiment.seed, settings.num_samples)
    parts: list[Memorization] = []
    first: UInt8[Tensor, "g c h w"] | None = None
    memorized = drawn = 0
    while drawn < len(seeds):
        count = len(seeds) if next_batch is None else min(next_batch(memorized, drawn), len(seeds) - drawn)
        if count <= 0:
            break
        images = sampler(seeds[drawn : drawn + count], on_batch)
        parts.append(measure_memorization(images, training_images, settings.threshold, settings.neighbors))
        if fid is not None:
            fid.add(images)
        first = images[:GALLERY_SIZE] if first is None else torch.cat([first, images])[:GALLERY_SIZE]
        drawn += count
        memorized += int(parts[-1].memorized.sum())
    if first is None:
        raise MemosweepError("an evaluation needs at least one sample")
    return Memorization.concatenate(parts), first


def evaluate_optimum(
    experiment: Experiment, device: torch.device | str | None = None, on_batch: Callable[[int], None] | None = None
) -> Evaluation:
    """Evaluate the closed-form optimal denoiser of the experiment's training set (paper, Fig. 1a, App. A).

    Nothing is trained: `epoch`, `images_seen` and `images_per_second` are 0, and there is no `loss`.

    Raises:
        MemosweepError: the data cannot serve the experiment, or `evaluation.fid` has no InceptionV3.
    """
    data = load_training_set(experiment.data)
    data = data.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    # Renumbered to the labels that occur: there is no optimum for a label without images.
    labels = None if data.labels is None else torch.unique(data.labels, return_inverse=True)[1]
    denoiser = OptimalDenoiser(data.images, labels)
    neighbor_search(experiment.evaluation.neighbors)
    fid = FrechetDistance(data.images) if experiment.evaluation.fid else None
    memorization, generated = evaluate(
        sampler_of(denoiser, experiment.evaluation), data.images, experiment, on_batch, fid=fid
    )
    metrics = {
        "epoch": 0.0,
        "images_seen": 0,
        "loss": math.nan,
        **memorization.summary(),
        "best_memorization_ratio": memorization.ratio,
        "images_per_second": 0.0,
        **({} if fid is None else {"fid": fid.take()}),
    }
    nearest = nearest_images(memorization, data.images, len(generated))
    return Evaluation(metrics, memorization, generated, nearest)


def nearest_images(
    memorization: Memorization, training_images: UInt8[Tensor, "m c h w"], count: int
) -> UInt8[Tensor, "g c h w"]:
    """Return the nearest training images of the first `count` samples, on the CPU."""
    indices = memorization.nearest_index[:count].to(training_images.device)
    return torch.index_select(training_images, 0, indices).cpu()
