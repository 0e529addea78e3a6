"""A number that a claim states is asked for where its setting was run, and otherwise said to be untested."""

from typing import Any

import pandas as pd
import pytest

from analysis.inference.findings import Verdict, verdicts
from analysis.inference.findings.verdict import ANSWERS
from analysis.runs.runs import Runs
from tests.fakes import SIZES, Settings, frame, grid

ARCHITECTURES = grid(model__architecture=("ddpmpp", "ncsnpp"), data__size=SIZES, seed=(0, 1, 2))
COUNTS = grid(data__labels=("random",), data__num_labels=(2, 10, 1000), data__size=(2000, 5000), seed=(0, 1))


def verdict(name: str, data: pd.DataFrame) -> Verdict:
    return verdicts(Runs.of(data), [name])[0]


def ncsnpp(effect: float) -> Any:
    def shift(settings: Settings) -> float:
        return effect if settings["model.architecture"] == "ncsnpp" else 0.0

    return shift


def test_a_fall_from_92_to_87_percent_is_not_a_fall_to_45() -> None:
    answer = verdict("ncsnpp_below_ddpmpp", frame(ARCHITECTURES, ncsnpp(-0.55)))
    assert answer.questions[0].answer == "yes"
    assert answer.questions[1].answer == "no"
    assert answer.headline == "contradicted"
    assert verdict("ncsnpp_below_ddpmpp", frame(ARCHITECTURES, ncsnpp(-2.6))).headline == "supported"


@pytest.mark.parametrize("change", [{"data.dataset": "digits"}, {"training.epochs": 400}, {"model.width": 32}])
def test_elsewhere_only_the_direction_is_supported(change: dict[str, Any]) -> None:
    trials = [{**settings, **change} for settings in ARCHITECTURES]
    answer = verdict("ncsnpp_below_ddpmpp", frame(trials, ncsnpp(-0.55)))
    assert (answer.outcome, answer.headline) == ("supported", "supported (direction only)")
    level = answer.questions[1]
    assert (ANSWERS[level.answer], level.missing) == ("not applicable", "the paper's setting was not run")


def test_a_growing_ratio_of_random_labels_must_reach_its_level() -> None:
    def growth(settings: Settings) -> float:
        return 0.3 if settings["data.num_labels"] == 1000 else 0.0

    answer = verdict("random_classes_raise", frame(COUNTS, lambda s: 4 * growth(s)))
    assert answer.questions[1].answer == "no"
    digits = [{**settings, "data.dataset": "digits"} for settings in COUNTS]
    assert verdict("random_classes_raise", frame(digits, lambda s: 4 * growth(s))).headline == (
        "supported (direction only)"
    )
