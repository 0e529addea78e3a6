"""A pipeline that is hardly trained, and settings of a fine-tuning of seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers", reason="the extra `text` is not installed")

from memo_core.data import TrainingSet, load_training_set
from memo_core.experiment import DataConfig, Experiment
from memo_core.text.tiny import make_tiny_pipeline


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded pipeline after two steps: what it draws does not matter."""
    path = tmp_path_factory.mktemp("pipeline") / "tiny"
    make_tiny_pipeline(path, vae_steps=2, unet_steps=2)
    return path


@pytest.fixture(scope="session")
def settings(folder: Path) -> Mapping[str, Any]:
    """Six steps of 2 x 3 images, evaluated twice."""
    return {
        "data.size": 8,
        "model.architecture": "pipeline",
        "text.pipeline": str(folder),
        "text.prompt": "class",
        "text.accumulation_steps": 2,
        "text.warmup_steps": 1,
        "text.guidance_scale": 2.0,
        "training.images": 36,
        "training.batch_size": 3,
        "training.learning_rate": 1e-3,
        "training.weight_decay": 1e-2,
        "training.ema_decay": 0.9,
        "training.warmup_epochs": 0,
        "evaluation.count": 2,
        "evaluation.num_samples": 6,
        "evaluation.steps": 3,
        "evaluation.batch_size": 4,
    }


METHODS: list[Mapping[str, Any]] = [{"text.method": "full"}, {"text.method": "lora", "text.lora_rank": 48}]
"""The rank is above the width of some layers."""


@pytest.fixture(params=METHODS, ids=["full", "lora"])
def experiment(request: pytest.FixtureRequest, settings: Mapping[str, Any]) -> Experiment:
    """A fine-tuning of each kind."""
    return Experiment.from_flat({**settings, **request.param})


@pytest.fixture(scope="session")
def digits() -> TrainingSet:
    """Its training set."""
    return load_training_set(DataConfig(size=8))
