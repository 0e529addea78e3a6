"""Samples of text-to-image models by their prompts: which of them give replicas, and of which training images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from memo_core.measure.coverage import Replicated, most_replicated
from memo_core.measure.memorization import Memorization


@dataclass(frozen=True)
class PromptMeasure:
    """The samples of one prompt, measured against the whole training set."""

    prompt: str
    positions: Int64[Tensor, " k"]
    """Of its samples among all, in their order."""
    result: Memorization
    """Of its samples alone."""

    @property
    def replicas(self) -> int:
        """Memorized samples."""
        return int(self.result.memorized.sum())

    @property
    def images(self) -> list[Replicated]:
        """The training images that its samples replicate; see `most_replicated`."""
        return most_replicated(self.result)


def measure_by_prompt(result: Memorization, prompts: Sequence[str]) -> list[PromptMeasure]:
    """Measure the samples of each prompt apart: most replicas first, then by prompt.

    Args:
        result: of n samples.
        prompts: n prompts.
    """
    positions: dict[str, list[int]] = {}
    for position, prompt in enumerate(prompts):
        positions.setdefault(prompt, []).append(position)
    found = [
        PromptMeasure(prompt, chosen, result.part(chosen))
        for prompt, chosen in ((prompt, torch.tensor(own)) for prompt, own in positions.items())
    ]
    return sorted(found, key=lambda measure: (-measure.replicas, measure.prompt))
