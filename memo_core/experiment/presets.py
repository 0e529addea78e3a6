"""Named experiments, as partial settings by dotted key; a sweep adds its factor to one of them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from memo_core.errors import MemosweepError
from memo_core.experiment.experiment import Experiment

PAPER: Mapping[str, Any] = MappingProxyType(
    {
        # Appendix B: VP training of DDPM++ on CIFAR-10, 40,000 epochs without augmentation.
        "data.dataset": "cifar10",
        "data.size": 1000,
        "model.architecture": "ddpmpp",
        "model.preconditioning": "vp",
        "model.width": 128,
        "model.depth": 2,
        "model.dropout": 0.13,
        "training.epochs": 40_000,
        "training.batch_size": 512,
        "training.learning_rate": 2e-4,
        "training.weight_decay": 0.0,
        "training.ema_decay": 0.99929,
        "training.warmup_epochs": 200,
        "evaluation.every_images": 2_500_000,
        "evaluation.num_samples": 10_000,
        "evaluation.steps": 18,
    }
)
"""The basic set-up of the paper; about 2 days of an A100 at |D| = 1k."""

PAPER_EDM: Mapping[str, Any] = MappingProxyType(
    {
        **PAPER,
        # EDM's own configuration (Karras et al. 2022), without its augmentation: Fig. 1c and 5c.
        "model.preconditioning": "edm",
        "model.depth": 4,
        "training.learning_rate": 1e-3,
    }
)
"""The paper's experiments with the EDM training procedure."""

PAPER_FFHQ: Mapping[str, Any] = MappingProxyType(
    {
        **PAPER,
        # Appendix B: 128 channels at 64 pixels and 256 below; batches of 256. EDM's naming of the archive.
        "data.dataset": "ffhq-64x64.zip",
        "model.channel_multipliers": (1, 2, 2, 2),
        "training.batch_size": 256,
    }
)
"""The paper's FFHQ experiments (Appendix D), from an archive prepared as EDM's README describes."""

LAPTOP: Mapping[str, Any] = MappingProxyType(
    {
        # A small real study on the embedded digits. The budget is in images, not epochs: the time to
        # memorize grows in proportion to |D|, so at this scale equal epochs would hide the effect of size.
        "data.dataset": "digits",
        "data.size": 10,
        "model.architecture": "ddpmpp",
        "model.preconditioning": "edm",
        "model.width": 16,
        "model.depth": 1,
        "model.dropout": 0.0,
        "training.images": 16_000,
        "training.batch_size": 32,
        "training.learning_rate": 1.5e-2,
        "training.weight_decay": 0.0,
        "training.ema_decay": 0.98,
        "training.warmup_epochs": 50,
        "evaluation.count": 2,
        "evaluation.num_samples": 256,
        "evaluation.steps": 18,
    }
)
"""About a minute on one core of a laptop."""

LAPTOP_LONG: Mapping[str, Any] = MappingProxyType(
    {
        **LAPTOP,
        # At LAPTOP's rate the winner is who learns fastest; deep networks, Fourier features and networks without
        # some skip connections need a lower one and more images to show what they can memorize.
        "training.images": 40_000,
        "training.learning_rate": 5e-3,
    }
)
"""The laptop study nearer to convergence; 2.5 times LAPTOP's time."""

LAPTOP_CIFAR: Mapping[str, Any] = MappingProxyType(
    {
        **LAPTOP,
        # What makes classes differ has no counterpart in digits: images of one digit are too alike for the 1/3 rule.
        "data.dataset": "cifar10",
        "data.resolution": 8,
        "training.images": 24_000,
        "training.learning_rate": 5e-3,
    }
)
"""CIFAR-10 at 8 x 8; 1.5 times LAPTOP's time, and a download of 170 MB where there is no copy."""

PAPER_TEXT: Mapping[str, Any] = MappingProxyType(
    {
        # Appendix G: miniSD on Imagenette at 256 pixels, without augmentation. What it leaves open is as in diffusers'
        # train_text_to_image.py (docs/text-conditions.md).
        "data.dataset": "imagenette2-320/train",
        "data.size": 400,
        "data.resolution": 256,
        "model.architecture": "pipeline",
        "text.pipeline": "lambdalabs/miniSD-diffusers",
        "text.method": "full",
        "text.prompt": "plain",
        "text.accumulation_steps": 4,
        "text.warmup_steps": 500,
        "text.guidance_scale": 7.5,
        "training.images": 400_000,
        "training.batch_size": 16,
        "training.learning_rate": 1e-4,
        "training.weight_decay": 1e-6,
        "training.ema_decay": 0.9999,
        "training.warmup_epochs": 0,
        "evaluation.count": 1,
        "evaluation.num_samples": 10_000,
        "evaluation.steps": 50,
        "evaluation.batch_size": 50,
    }
)
"""The paper's fine-tuning of Stable Diffusion (section 6, Table 3), from the folder that Imagenette unpacks to."""

LAPTOP_TEXT: Mapping[str, Any] = MappingProxyType(
    {
        # A pipeline of a million parameters, on digits that its U-Net has never seen.
        "data.dataset": "digits",
        "data.size": 16,
        "model.architecture": "pipeline",
        "text.pipeline": "tiny",
        "text.method": "full",
        "text.prompt": "plain",
        "text.warmup_steps": 50,
        "text.guidance_scale": 1.0,
        "training.images": 16_000,
        "training.batch_size": 16,
        "training.learning_rate": 1e-3,
        "training.weight_decay": 1e-6,
        "training.ema_decay": 0.99,
        "training.warmup_epochs": 0,
        "evaluation.count": 2,
        "evaluation.num_samples": 250,
        "evaluation.steps": 25,
        "evaluation.batch_size": 250,
    }
)
"""About a minute on one core of a laptop, and two more before the first trial, for the embedded pipeline."""

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "laptop": LAPTOP,
        "laptop-long": LAPTOP_LONG,
        "laptop-cifar": LAPTOP_CIFAR,
        "paper": PAPER,
        "paper-edm": PAPER_EDM,
        "paper-ffhq": PAPER_FFHQ,
        "laptop-text": LAPTOP_TEXT,
        "paper-text": PAPER_TEXT,
    }
)

_ALTERNATIVES = (
    ("training.epochs", "training.images"),
    ("evaluation.every_epochs", "evaluation.every_images", "evaluation.count"),
)


def with_settings(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes.

    A budget given in one unit replaces the budget in another; another architecture brings its own preconditioning and
    time embedding, unless they are among the changes.
    """
    merged = dict(base)
    if changes.get("model.architecture", merged.get("model.architecture")) != merged.get("model.architecture"):
        merged.pop("model.preconditioning", None)
        merged.pop("model.time_embedding", None)
    for group in _ALTERNATIVES:
        if any(changes.get(key) is not None for key in group):
            merged = {key: value for key, value in merged.items() if key not in group}
    return {**merged, **changes}


def experiment_from(preset: str, changes: Mapping[str, Any] | None = None) -> Experiment:
    """Return the experiment of a preset with some settings changed (see `with_settings`).

    Args:
        preset: a name in `PRESETS`, such as `laptop` or `paper`.
        changes: values by dotted key, such as `{"data.size": 64}`.

    Raises:
        MemosweepError: no such preset, an unknown key, or a value that is not allowed.
    """
    if preset not in PRESETS:
        raise MemosweepError(f"preset {preset!r}: choose one of {', '.join(PRESETS)}")
    return Experiment.from_flat(with_settings(PRESETS[preset], changes or {}))
