"""What ends a trial of an EMM search early, and how many samples its evaluations draw.

The paper's number is the maximum over training, so that a ratio which is surely far above the target cannot turn, and
an evaluation that is clearly on one side of it needs no 10,000 samples. numpy and scipy only: trials call it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.emm.search.constants import STOP_ABOVE, STOP_CONFIDENCE
from analysis.emm.search.trainings import Training
from analysis.emm.stopping.sequential import SamplingPlan, decide, next_batch
from analysis.stats.binomial import empirical_logit, logit

History = Sequence[tuple[int, float, int]]
"""(images seen, ratio, samples) of each evaluation."""
NextBatch = Callable[[int, int], int]
"""Memorized and drawn samples so far -> samples to draw before the next look, 0 to stop."""


@dataclass(frozen=True)
class StoppingRules:
    """How a trial of a search saves work; both ways are off under the paper's protocol.

    Attributes:
        target: ratio whose crossing is searched, in (0, 1).
        early_success: whether a trial ends once its ratio has surely passed the target and is at least `above` over
            it: there the final ratio says little of the crossing. Nearer to the target, where it says much, every trial
            is trained to its end.
        sequential_sampling: whether an evaluation before the last draws only as many samples as its side of the
            target needs.
        confidence: that a decision is right, in (0, 1).
        above: logits.
    """

    target: float
    early_success: bool
    sequential_sampling: bool
    confidence: float = STOP_CONFIDENCE
    above: float = STOP_ABOVE

    def sampling(
        self, so_far: Callable[[], tuple[History, int]], total_images: int, max_samples: int
    ) -> NextBatch | None:
        """Return the sequential sampling of the evaluations before the last; None draws all samples.

        Args:
            so_far: the evaluations before the present one, and the images that this one has seen.
            total_images: the training budget.
            max_samples: samples of a full evaluation.
        """
        if not self.sequential_sampling:
            return None
        plan = self._plan(max_samples)

        def batch(memorized: int, drawn: int) -> int:
            requested = next_batch(memorized, drawn, plan)
            if requested or not drawn:
                return requested
            history, seen = so_far()
            # A trial that may end here reports this ratio: it deserves all samples.
            ends = self._stops([*history, (seen, memorized / drawn, max_samples)], total_images, max_samples)
            return max_samples - drawn if ends else 0

        return batch

    def training(self, history: History, size: int, seed: int, total_images: int, max_samples: int) -> Training:
        """Return the record of the trial after its last evaluation so far.

        Args:
            history: all evaluations so far, at least one.
            size: images in the training set.
            seed: of the training.
            total_images: the training budget.
            max_samples: samples of a full evaluation.
        """
        seen, ratio, samples = history[-1]
        stopped = self._stops(history, total_images, max_samples)
        if not stopped:
            # A maximum over small samples would be biased upwards: only evaluations as large as the last count.
            ratio, samples = max((other, count) for _, other, count in history if count >= samples)
        return Training(size, seed, ratio, samples, stopped, min(1.0, seen / total_images))

    def _stops(self, history: History, total_images: int, max_samples: int) -> bool:
        seen, ratio, samples = history[-1]
        if not self.early_success or seen >= total_images:
            return False
        if decide(round(ratio * samples), samples, self._plan(max_samples)) != "above":
            return False
        return float(empirical_logit(ratio, samples)[0]) >= float(logit(self.target)) + self.above

    def _plan(self, max_samples: int) -> SamplingPlan:
        return SamplingPlan(self.target, min(250, max_samples), max_samples, self.confidence)
