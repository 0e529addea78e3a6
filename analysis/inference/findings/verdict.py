"""Verdicts: questions with an effect and an answer, and what follows from them for a claim."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.runs.effects import Effect, Saturated

Answer = Literal["yes", "no", "open", "not applicable"]
"""`not applicable`: a level that the paper states for a setting that was not run: only the direction is tested."""
Measured = Effect | Saturated | None
"""An effect, or why there is none: all that was compared is saturated, or nothing was run."""
Outcome = Literal["supported", "contradicted", "undecided"]

ANSWERS: Mapping[Answer, str] = {"yes": "yes", "no": "no", "open": "not decided", "not applicable": "not applicable"}
"""In words."""

WEAK = math.log(2)
"""An effect is weak when the odds of replication change by less than a factor of 2 (at the paper's slope of
about -2.9 logits per ln|D|, that changes the EMM by less than 27%)."""

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


@dataclass(frozen=True)
class Verdict:
    """What some data say on one of the paper's findings."""

    id: str
    source: str
    claim: str
    outcome: Outcome
    questions: tuple[Question, ...]
    """All that apply must be answered yes for support; one no contradicts."""
    needs: str
    """The least data that can decide."""

    @property
    def headline(self) -> str:
        """`supported`, `supported (direction only)`, `contradicted` or `undecided: too little data`."""
        if self.outcome == "supported" and any(question.answer == "not applicable" for question in self.questions):
            return "supported (direction only)"
        return "undecided: too little data" if self.outcome == "undecided" else self.outcome

    @property
    def effect(self) -> Effect | None:
        """The first effect that was measured."""
        return next((question.effect for question in self.questions if question.effect is not None), None)


def decide(questions: Sequence[Question]) -> Outcome:
    """Supported where all answers are yes, contradicted where one is no; what does not apply does not count."""
    answers = {question.answer for question in questions} - {"not applicable"}
    if "no" in answers:
        return "contradicted"
    return "supported" if answers == {"yes"} else "undecided"


def within(asks: str, effect: Effect, above: float = -math.inf, below: float = math.inf) -> Question:
    """Ask whether the whole 95% interval lies between the limits: no where it lies outside them, else open."""
    if effect.low > above and effect.high < below:
        return Question(asks, "yes", effect)
    return Question(asks, "no" if effect.high < above or effect.low > below else "open", effect)


def _question(asks: str, effect: Measured, missing: str, above: float = -math.inf, below: float = math.inf) -> Question:
    if not isinstance(effect, Effect):
        return Question(asks, "open", None, missing if effect is None else str(effect))
    if effect.runs < MINIMUM_RUNS:
        return Question(f"{asks} [{effect.runs} runs, {MINIMUM_RUNS} needed]", "open", effect)
    return within(asks, effect, above, below)


def rises(asks: str, effect: Measured, missing: str, beyond: float = 0.0) -> Question:
    """Yes where the whole 95% interval lies above `beyond`, no where it lies below it."""
    return _question(f"{asks} (95% interval above {_number(beyond)})", effect, missing, above=beyond)


def falls(asks: str, effect: Measured, missing: str, beyond: float = 0.0) -> Question:
    """Yes where the whole 95% interval lies below `beyond`, no where it lies above it."""
    return _question(f"{asks} (95% interval below {_number(beyond)})", effect, missing, below=beyond)


def little(asks: str, effect: Measured, missing: str, lower: float = -WEAK, upper: float = WEAK) -> Question:
    """Equivalence: yes where the 95% interval lies between the limits, no where it lies outside them."""
    return _question(
        f"{asks} (95% interval within {_number(lower)} to {_number(upper)})", effect, missing, lower, upper
    )


def _number(logit: float) -> str:
    if abs(logit) == WEAK:
        return "ln 2" if logit > 0 else "-ln 2"
    return "infinity" if math.isinf(logit) else f"{logit:g}"
