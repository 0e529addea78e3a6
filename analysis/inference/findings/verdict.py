"""Verdicts: questions with an effect and an answer, and what follows from them for a claim."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from analysis.runs.effects import Effect, Saturated

Answer = Literal["yes", "no", "open", "unasked"]
"""`unasked`: a level that the paper states for a setting that was not run, so that only the direction is tested."""
Measured = Effect | Saturated | None
"""An effect, or why there is none: all that was compared is saturated, or nothing was run."""
Outcome = Literal["supported", "contradicted", "undecided"]

ANSWERS: Mapping[Answer, str] = {"yes": "yes", "no": "no", "open": "not decided", "unasked": "not asked"}
"""In words."""

WEAK = math.log(2)
"""An effect is weak when the odds of replication change by less than a factor of 2 (at the paper's slope of
about -2.9 logits per ln|D|, that moves the EMM by less than 27%)."""

MINIMUM_RUNS = 4
"""Runs behind an effect below which nothing is decided: two settings, each twice (two sizes or two seeds)."""


@dataclass(frozen=True)
class Question:
    """One thing that a claim asserts, as a question to the data."""

    asks: str
    """The test in words."""
    answer: Answer
    effect: Effect | None = None
    missing: str = ""
    """What the data lack, where there is no effect."""

    def __str__(self) -> str:
        answer = ANSWERS[self.answer]
        if self.effect is None:
            return f"{self.asks}: {answer} ({self.missing})"
        return f"{self.asks}: {answer}; {self.effect}"


@dataclass(frozen=True)
class Verdict:
    """What some data say on one of the paper's findings."""

    id: str
    source: str
    claim: str
    outcome: Outcome
    questions: tuple[Question, ...]
    """All that were asked must be answered yes for support; one no contradicts."""
    needs: str
    """The least data that can decide."""

    @property
    def headline(self) -> str:
        """`supported`, `supported (direction only)`, `contradicted` or `undecided: too little data`."""
        if self.outcome == "supported" and any(question.answer == "unasked" for question in self.questions):
            return "supported (direction only)"
        return "undecided: too little data" if self.outcome == "undecided" else self.outcome

    @property
    def effect(self) -> Effect | None:
        """The first effect that was measured."""
        return next((question.effect for question in self.questions if question.effect is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "verdict": self.headline}


def decide(questions: Sequence[Question]) -> Outcome:
    """Supported where all answers are yes, contradicted where one is no; what was not asked does not count."""
    answers = {question.answer for question in questions} - {"unasked"}
    if "no" in answers:
        return "contradicted"
    return "supported" if answers == {"yes"} else "undecided"


def _question(asks: str, effect: Measured, missing: str, beyond: Callable[[Effect], tuple[bool, bool]]) -> Question:
    if not isinstance(effect, Effect):
        return Question(asks, "open", None, missing if effect is None else str(effect))
    yes, no = beyond(effect)
    enough = effect.runs >= MINIMUM_RUNS
    if not enough:
        asks = f"{asks} [{effect.runs} runs, {MINIMUM_RUNS} needed]"
    answer: Answer = "yes" if yes and enough else "no" if no and enough else "open"
    return Question(asks, answer, effect)


def rises(asks: str, effect: Measured, missing: str, beyond: float = 0.0) -> Question:
    """Yes where the whole 95% interval lies above `beyond`, no where it lies below it."""
    text = f"{asks} (95% interval above {_number(beyond)})"
    return _question(text, effect, missing, lambda found: (found.low > beyond, found.high < beyond))


def falls(asks: str, effect: Measured, missing: str, beyond: float = 0.0) -> Question:
    """Yes where the whole 95% interval lies below `beyond`, no where it lies above it."""
    text = f"{asks} (95% interval below {_number(beyond)})"
    return _question(text, effect, missing, lambda found: (found.high < beyond, found.low > beyond))


def little(asks: str, effect: Measured, missing: str, lower: float = -WEAK, upper: float = WEAK) -> Question:
    """Equivalence: yes where the 95% interval lies between the limits, no where it lies outside them."""
    text = f"{asks} (95% interval within {_number(lower)} to {_number(upper)})"

    def beyond(found: Effect) -> tuple[bool, bool]:
        return found.low > lower and found.high < upper, found.low > upper or found.high < lower

    return _question(text, effect, missing, beyond)


def _number(logit: float) -> str:
    if abs(logit) == WEAK:
        return "ln 2" if logit > 0 else "-ln 2"
    return "infinity" if math.isinf(logit) else f"{logit:g}"
