"""Verdicts of an EMM search within a trial: they cost what they must and no more.

The paper's number is the maximum over training, so that a ratio which has passed the target with confidence cannot
turn; a growth curve that will not pass it need not be trained to its end; an evaluation that is clearly on one side
needs no 10,000 samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.emm.search.fit import NEAR
from analysis.emm.stopping.growth import forecast, will_not_reach
from analysis.emm.stopping.sequential import SamplingPlan, decide, next_batch
from analysis.stats.binomial import logit

Verdict = Literal["full", "reached", "will_not_reach"]
History = Sequence[tuple[int, float, int]]
"""(images seen, ratio, samples) of each evaluation."""
NextBatch = Callable[[int, int], int]
"""Memorized and drawn samples so far -> samples to draw before the next look, 0 to stop."""


@dataclass(frozen=True)
class VerdictRules:
    """Which early verdicts a trial may give; all off under the paper's protocol."""

    target: float
    early_success: bool
    early_failure: bool
    sequential_sampling: bool
    confidence: float = 0.99
    near: float = NEAR

    def sampling(
        self, so_far: Callable[[], tuple[History, int]], total_images: int, max_samples: int
    ) -> NextBatch | None:
        """Sequential sampling for the evaluations before the last; None draws all samples.

        Args:
            so_far: the evaluations before the present one, and the images that this one has seen.
            total_images: the training budget.
            max_samples: samples of a full evaluation.
        """
        if not self.sequential_sampling:
            return None
        plan = self._plan(max_samples)

        def batch(memorized: int, drawn: int) -> int:
            wanted = next_batch(memorized, drawn, plan)
            if wanted or not drawn:
                return wanted
            history, seen = so_far()
            # A trial that ends here reports this number: it deserves all samples, and so does its forecast.
            ends = self._verdict([*history, (seen, memorized / drawn, drawn)], total_images, max_samples) != "full"
            return max_samples - drawn if ends else 0

        return batch

    def _plan(self, max_samples: int) -> SamplingPlan:
        return SamplingPlan(self.target, min(250, max_samples), max_samples, self.confidence)

    def judge(self, history: History, total_images: int, max_samples: int) -> dict[str, Any]:
        """What is reported beside the metrics: the verdict, and what the search learns from it.

        Args:
            history: all evaluations so far.
            total_images: the training budget.
            max_samples: samples of a full evaluation.

        Returns:
            `verdict`; `verdict_ratio` and `verdict_samples`, the ratio that counts and the samples behind it;
            `budget_fraction` spent, in (0, 1]; `forecast` and `forecast_sd`, the final logit as foreseen.
        """
        seen, ratio, samples = history[-1]
        verdict = self._verdict(history, total_images, max_samples)
        foreseen = (None, None) if verdict == "full" else self._foreseen(history, total_images, verdict)
        if verdict == "full":
            # A maximum over small samples would be biased upwards: only evaluations as large as the last count.
            ratio, samples = max((other, count) for _, other, count in history if count >= samples)
        return {
            "verdict": verdict,
            "verdict_ratio": ratio,
            "verdict_samples": samples,
            "budget_fraction": min(1.0, seen / total_images),
            "forecast": foreseen[0],
            "forecast_sd": foreseen[1],
        }

    def _verdict(self, history: History, total_images: int, max_samples: int) -> Verdict:
        seen, ratio, samples = history[-1]
        if seen >= total_images:
            return "full"
        verdict: Verdict = "full"
        if self.early_success and decide(round(ratio * samples), samples, self._plan(max_samples)) == "above":
            verdict = "reached"
        elif self.early_failure and self._hopeless(history, total_images):
            verdict = "will_not_reach"
        if verdict != "full" and self._worth_finishing(history, total_images):
            return "full"
        return verdict

    def _worth_finishing(self, history: History, total_images: int) -> bool:
        """Whether the trial will end so near the target that its exact ratio says where the crossing is."""
        curve = forecast(*_columns(history, total_images))
        return curve.exact and abs(curve.logit - float(logit(self.target))) < self.near

    def _foreseen(
        self, history: History, total_images: int, verdict: Verdict
    ) -> tuple[float, float] | tuple[None, None]:
        """The final logit of a stopped trial and its standard deviation: it tells more than the bare verdict."""
        curve = forecast(*_columns(history, total_images))
        if not curve.exact:
            return None, None
        # The reported ratio is a maximum over training: one that has passed the target cannot end below it.
        return (max(curve.logit, float(logit(self.target))) if verdict == "reached" else curve.logit), curve.sd

    def _hopeless(self, history: History, total_images: int) -> bool:
        return will_not_reach(*_columns(history, total_images), self.target, confidence=self.confidence)


def _columns(history: History, total_images: int) -> tuple[list[float], list[float], list[int]]:
    progress = [min(1.0, seen / total_images) for seen, _, _ in history]
    return progress, [ratio for _, ratio, _ in history], [samples for _, _, samples in history]
