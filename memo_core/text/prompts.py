"""The prompts of a training: of each image, and of the samples; and their embeddings."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from memo_core.data.training_set import TrainingSet
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.randomness import named_generator
from memo_core.text.captions import captions_of, read_captions
from memo_core.text.class_names import class_names

PLAIN = "a picture"
_PROMPTS_AT_ONCE = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompts:
    """The distinct prompts of a training set, which of them each image has, and so each sample in equal shares."""

    distinct: tuple[str, ...]
    of_image: tuple[int, ...]
    """The position in `distinct` of each image's prompt."""

    @property
    def sha256(self) -> str:
        """Of the prompts of all images, by which a checkpoint knows them."""
        return hashlib.sha256(json.dumps([self.distinct[index] for index in self.of_image]).encode()).hexdigest()


def prompts_of(experiment: Experiment, data: TrainingSet) -> Prompts:
    """Return the prompts of a training set; those of samples are the distinct ones in turns.

    Where an evaluation has fewer samples than there are prompts, they are in random order, that of the seed: the first
    ones of the alphabet, such as those of one photographer, would stand for all.

    Raises:
        MemosweepError: classes without names, or captions that do not fit the images.
    """
    text, config = experiment.text, experiment.data
    if text.prompt == "plain":
        texts: Sequence[str] = [PLAIN] * len(data)
    elif text.prompt == "captions":
        assert text.captions is not None
        datasets = [dataset for dataset in (config.dataset, config.blend_dataset) if dataset is not None]
        texts = captions_of(data.names, read_captions(text.captions), text.captions, datasets)
    else:
        if config.blend_ratio > 0:
            raise MemosweepError("text.prompt = class: the classes of two blended sources are not comparable")
        names = class_names(config.dataset)
        if any(label is None for label in data.classes):
            raise MemosweepError(f"text.prompt = class: {config.dataset} has no labels")
        texts = [f"{PLAIN} of {names[label]}" for label in data.classes if label is not None]
    # Sorted: the same for nested sets, whatever the order of their images.
    distinct = tuple(sorted(set(texts)))
    if len(distinct) > experiment.evaluation.num_samples:
        order = torch.randperm(len(distinct), generator=named_generator(experiment.seed, "prompts"))
        distinct = tuple(distinct[index] for index in order.tolist())
    position = {prompt: index for index, prompt in enumerate(distinct)}
    return Prompts(distinct, tuple(position[prompt] for prompt in texts))


@torch.no_grad()
def embed(prompts: Sequence[str], tokenizer: Any, text_encoder: Any) -> Float[Tensor, "n t d"]:
    """Embed prompts, padded to the length that the encoder takes; longer ones are cut, which is logged.

    Args:
        prompts: at least one.
        tokenizer: a `CLIPTokenizer`.
        text_encoder: a `CLIPTextModel`, on whose device the result is.
    """
    log_cuts(prompts, tokenizer)
    parts = []
    for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
        tokens = tokenizer(
            list(prompts[start : start + _PROMPTS_AT_ONCE]),
            padding="max_length",
            truncation=True,
            max_length=tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        parts.append(text_encoder(tokens.to(text_encoder.device), return_dict=False)[0])
    return torch.cat(parts)


def log_cuts(prompts: Sequence[str], tokenizer: Any) -> None:
    """Log how many prompts are longer than the encoder takes, and how many tokens of them are cut off."""
    most = int(tokenizer.model_max_length)
    lengths = [len(tokens) for tokens in tokenizer(list(prompts)).input_ids]
    cut = [length - most for length in lengths if length > most]
    if cut:
        first = prompts[next(index for index, length in enumerate(lengths) if length > most)]
        which = "1 prompt is" if len(cut) == 1 else f"{len(cut):,} prompts are"
        _log.info(
            "%s longer than the %d tokens that the text encoder takes, %d tokens are cut off (first: %.60r)",
            which, most, sum(cut), first,
        )  # fmt: skip
