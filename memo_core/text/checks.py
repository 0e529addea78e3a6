"""What is checked of a fine-tuning before anything starts; loads no weights."""

import logging
from collections import Counter

from transformers import CLIPTokenizer

from memo_core.data.training_set import TrainingSet
from memo_core.errors import MemosweepError, first_line, plural
from memo_core.experiment import Experiment
from memo_core.measure.duplicates import exact_duplicates
from memo_core.text.pipeline import check_resolution, find_pipeline
from memo_core.text.prompts import Prompts, log_cuts, prompts_of

_log = logging.getLogger(__name__)


def check_fine_tuning(experiment: Experiment, data: TrainingSet) -> None:
    """Check the pipeline, the size of the images and the prompts; log what will be done with odd ones.

    Args:
        experiment: whose `model.architecture` is `pipeline`.
        data: its training set, or a larger one.

    Raises:
        MemosweepError: the pipeline cannot be fine-tuned, or it or the prompts do not fit the data.
    """
    text = experiment.text
    folder = find_pipeline(text.pipeline, text.revision)
    check_resolution(folder, text.pipeline, data.image_shape[1])
    prompts = prompts_of(experiment, data)
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", local_files_only=True)
    # The library fails in many ways over damaged files.
    except Exception as error:
        raise MemosweepError(f"pipeline {text.pipeline}: no readable tokenizer ({first_line(error)})") from None
    log_cuts(prompts.distinct, tokenizer)
    _log_prompts_without_samples(len(prompts.distinct), experiment.evaluation.num_samples)
    _log_duplicates(data, prompts, text.prompt)


def _log_prompts_without_samples(prompts: int, samples: int) -> None:
    if prompts > samples:
        _log.info(
            "%s prompts and %s an evaluation: as many prompts, drawn at random, have one each; "
            "evaluation.num_samples = %d samples all",
            f"{prompts:,}", plural(samples, "sample"), prompts,
        )  # fmt: skip


def _log_duplicates(data: TrainingSet, prompts: Prompts, kind: str) -> None:
    """Log how many images, and of captions how many of those, are there several times: they are memorized first."""
    copies = int(exact_duplicates(data.images).sum())
    if copies:
        _log.info("%s of %s training images are exact duplicates of others", f"{copies:,}", f"{len(data):,}")
    if kind == "captions":
        times = Counter(prompts.of_image)
        shared = sum(count for count in times.values() if count > 1)
        if shared:
            _log.info(
                "%s of %s training images share their caption with others; %s in all",
                f"{shared:,}", f"{len(data):,}", plural(len(times), "caption"),
            )  # fmt: skip
