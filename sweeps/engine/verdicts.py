"""Verdicts of an EMM search within a trial: they cost what they must and no more.

The paper's number is the maximum over training, so that a ratio which has passed the target with confidence cannot
turn; a growth curve that will not pass it need not be trained to its end; an evaluation that is clearly on one side
needs no 10,000 samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.growth import forecast, will_not_reach
from analysis.sequential import SamplingPlan, decide, next_batch

Verdict = Literal["full", "reached", "will_not_reach"]
History = Sequence[tuple[int, float, int]]
"""(images seen, ratio, samples) of each evaluation."""


@dataclass(frozen=True)
class VerdictRules:
    """Which early verdicts a trial may give; all off under the paper's protocol."""

    target: float
    early_success: bool
    early_failure: bool
    sequential_sampling: bool
    confidence: float = 0.99

    def sampling(self, max_samples: int) -> Callable[[int, int], int] | None:
        """Sequential sampling for evaluations before the last; None draws all samples."""
        if not self.sequential_sampling:
            return None
        plan = self._plan(max_samples)
        return lambda memorized, drawn: next_batch(memorized, drawn, plan)

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
        fraction = min(1.0, seen / total_images)
        verdict: Verdict = "full"
        foreseen: tuple[float | None, float | None] = (None, None)
        if fraction < 1:
            if self.early_success and decide(round(ratio * samples), samples, self._plan(max_samples)) == "above":
                verdict = "reached"
            elif self.early_failure and self._hopeless(history, total_images):
                verdict = "will_not_reach"
                curve = forecast(*_columns(history, total_images))
                foreseen = (curve.logit, curve.sd) if curve.exact else (None, None)
        if verdict == "full":
            # A maximum over small samples would be biased upwards: only evaluations as large as the last count.
            ratio, samples = max((other, count) for _, other, count in history if count >= samples)
        return {
            "verdict": verdict,
            "verdict_ratio": ratio,
            "verdict_samples": samples,
            "budget_fraction": fraction,
            "forecast": foreseen[0],
            "forecast_sd": foreseen[1],
        }

    def _hopeless(self, history: History, total_images: int) -> bool:
        return will_not_reach(*_columns(history, total_images), self.target, confidence=self.confidence)


def _columns(history: History, total_images: int) -> tuple[list[float], list[float], list[int]]:
    progress = [min(1.0, seen / total_images) for seen, _, _ in history]
    return progress, [ratio for _, ratio, _ in history], [samples for _, _, samples in history]
