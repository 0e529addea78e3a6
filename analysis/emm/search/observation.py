"""What one training told the search, in the form that bracket and posterior read."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from analysis.stats.binomial import empirical_logit

Verdict = Literal["full", "reached", "will_not_reach"]
VERDICTS: tuple[Verdict, ...] = ("full", "reached", "will_not_reach")

# A forecast far from the target extrapolates growth that no evaluation can check: it may be wrong by this share of
# its distance, so that it neither bends the line nor speaks against it.
FORECAST_MISFIT = 0.2


MAX_SIZE = 10**15
"""Far above any training set, far below where whole numbers lose their last digit as floats."""


def check_size(size: Any, name: str = "size") -> None:
    """Refuse what is no whole number of images.

    Raises:
        ValueError: a size that is no whole number from 1 to 10^15.
    """
    whole = isinstance(size, int | float | np.integer | np.floating) and not isinstance(size, bool)
    if not whole or not 1 <= size <= MAX_SIZE or size != int(size):
        raise ValueError(f"{name} {size!r} is no whole number of images, from 1 to 10^15")


@dataclass(frozen=True)
class Observation:
    """One training of one factor value.

    Attributes:
        size: images in the training set, >= 1.
        seed: the training's seed.
        ratio: memorization ratio in [0, 1] at the end, or where an early verdict stopped the trial.
        num_samples: generated samples behind `ratio`.
        verdict: `full` (trained to the end); `reached` (stopped because the ratio was at least the
            target: the final ratio is at least `ratio`); `will_not_reach` (stopped because the growth
            curve says that the final ratio stays below the target).
        confidence: probability that the verdict is right, in (0.5, 1].
        forecast: logit of the final ratio as the growth curve of a stopped trial foresees it, or None.
        forecast_sd: its standard deviation in logits.
        fraction: share of the training budget that was spent, in (0, 1].
    """

    size: int
    seed: int
    ratio: float
    num_samples: int
    verdict: Verdict = "full"
    confidence: float = 0.99
    forecast: float | None = None
    forecast_sd: float | None = None
    fraction: float = 1.0

    def __post_init__(self) -> None:
        check_size(self.size)
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio {self.ratio} is not in [0, 1]: give a fraction, not percent")
        if self.num_samples < 1:
            raise ValueError(f"num_samples {self.num_samples} is not positive")
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict {self.verdict!r} is unknown: choose from {', '.join(VERDICTS)}")
        if not 0.5 < self.confidence <= 1:
            raise ValueError(f"confidence {self.confidence} is not in (0.5, 1]")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction} of the budget is not in (0, 1]")
        if (self.forecast is None) != (self.forecast_sd is None):
            raise ValueError("forecast and forecast_sd belong together: give both or neither")
        if self.forecast is None or self.forecast_sd is None:
            return
        if not np.isfinite(self.forecast) or not 0 < self.forecast_sd < np.inf:
            raise ValueError(f"forecast {self.forecast} +- {self.forecast_sd} is not a finite estimate")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """An observation as a statement about the logit of the final ratio at a size.

    Attributes:
        log_size: natural logarithm of the size.
        logit: the statement's logit.
        variance: of `logit` from counting (and forecasting), without the spread of trainings.
        bound: 0 for "equals", +1 for "at least", -1 for "at most".
        confidence: probability that a bound holds.
    """

    log_size: float
    logit: float
    variance: float
    bound: int = 0
    confidence: float = 1.0


def evidence(observation: Observation, target_logit: float) -> Evidence:
    """Translates an observation; 0 or all samples memorized become bounds, as their logit is open."""
    log_size = float(np.log(observation.size))
    if observation.forecast is not None and observation.forecast_sd is not None:
        doubt = FORECAST_MISFIT * (observation.forecast - target_logit)
        return Evidence(log_size, observation.forecast, observation.forecast_sd**2 + doubt**2)
    logit, variance = (float(a) for a in empirical_logit(observation.ratio, observation.num_samples))
    if observation.verdict == "will_not_reach":
        return Evidence(log_size, target_logit, 0.0, -1, observation.confidence)
    if observation.verdict == "reached":
        return Evidence(log_size, min(logit, 20.0), variance, 1, observation.confidence)
    successes = observation.ratio * observation.num_samples
    if successes < 0.5:
        # No success in n says ratio < ln(2)/n with even odds; the rest is the width of that statement.
        return Evidence(log_size, float(np.log(np.log(2) / observation.num_samples)), 1.0, -1)
    if observation.num_samples - successes < 0.5:
        return Evidence(log_size, float(-np.log(np.log(2) / observation.num_samples)), 1.0, 1)
    return Evidence(log_size, logit, variance)
