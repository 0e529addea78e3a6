"""The prompts of images and samples."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from memo_core.data import TrainingSet, load_training_set
from memo_core.experiment import DataConfig, Experiment
from memo_core.text.checks import check_fine_tuning
from memo_core.text.drawing import draw_images
from memo_core.text.prompts import prompts_of
from memo_core.text.sampler import prompt_index

COUNT = 40
CAPTIONS = [f"a picture of {number:02d}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def forty_digits() -> TrainingSet:
    return load_training_set(DataConfig(size=COUNT))


def experiment(settings: Mapping[str, Any], data: TrainingSet, folder: Path, **changes: Any) -> Experiment:
    """A fine-tuning whose images have a caption each."""
    file = folder / "captions.jsonl"
    lines = zip(data.names, CAPTIONS, strict=True)
    file.write_text("".join(f'{{"file_name": "{name}", "caption": "{caption}"}}\n' for name, caption in lines))
    own = {"data.size": COUNT, "text.prompt": "captions", "text.captions": str(file)}
    return Experiment.from_flat({**settings, **own, **changes})


def sampled(experiment: Experiment, data: TrainingSet) -> list[str]:
    """Return the prompts of an evaluation's samples."""
    prompts = prompts_of(experiment, data)
    assert [prompts.distinct[index] for index in prompts.of_image] == CAPTIONS
    return [prompts.distinct[prompt_index(seed, COUNT)] for seed in range(experiment.evaluation.num_samples)]


def test_prompts_in_turns_are_sorted_where_samples_suffice(
    settings: Mapping[str, Any], forty_digits: TrainingSet, tmp_path: Path
) -> None:
    enough = experiment(settings, forty_digits, tmp_path, **{"evaluation.num_samples": COUNT})
    assert sampled(enough, forty_digits) == CAPTIONS


def test_fewer_samples_than_prompts_are_of_random_prompts(
    settings: Mapping[str, Any], forty_digits: TrainingSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = experiment(settings, forty_digits, tmp_path, **{"evaluation.num_samples": 10})
    prompts = sampled(few, forty_digits)
    assert len(set(prompts)) == 10
    # Of 40 in their order, all 10 would be among the first 10.
    assert any(prompt in CAPTIONS[20:] for prompt in prompts)
    assert sampled(few, forty_digits) == prompts
    other = experiment(settings, forty_digits, tmp_path, **{"evaluation.num_samples": 10, "seed": 1})
    assert sampled(other, forty_digits) != prompts
    caplog.set_level(logging.INFO, "memo_core.text")
    check_fine_tuning(few, forty_digits)
    assert (
        "40 prompts and 10 samples an evaluation: as many prompts, drawn at random, have one each; "
        "evaluation.num_samples = 40 samples all" in caplog.messages
    )


def test_prompts_that_no_seed_draws_are_noted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "memo_core.text")
    draw_images(str(folder), ["a", "b", "c"], [0, 1], steps=2)
    assert "2 seeds for 3 prompts: some have no image" in caplog.messages
