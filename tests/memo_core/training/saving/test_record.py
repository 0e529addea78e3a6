import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo_core.errors import OtherTrainingError
from memo_core.experiment import Experiment
from memo_core.training.divergence import LOSS_UNIT_EXPONENT
from memo_core.training.saving.record import (
    NotContinuedError,
    Tally,
    TrainingRecord,
    check_same_training,
    evaluation_borders,
)
from tests.conftest import TINY

VALUES = 64


def experiment_of(**changes):
    return Experiment.from_flat({**TINY, **{key.replace("__", "."): value for key, value in changes.items()}})


def record_of(experiment, ratios, best=None, **settings):
    """The record of an experiment after as many evaluations as there are ratios."""
    tallies = [
        Tally(border, (border * VALUES * (index + 1)) << -LOSS_UNIT_EXPONENT, 2.0 * (index + 1))
        for index, border in enumerate(evaluation_borders(experiment)[: len(ratios)])
    ]
    rows = [
        {"images_seen": tally.images_seen, "memorization_ratio": ratio, "num_samples": 12, "best_memorization_ratio": 9}
        for tally, ratio in zip(tallies, ratios, strict=True)
    ]
    best_row = max(range(len(rows)), key=lambda index: (ratios[index], index), default=None)
    seen = 0 if best_row is None else tallies[best_row].images_seen
    return TrainingRecord(rows, tallies, seen if best is None else best, **settings)


def continued(record, before, after, images_seen=None):
    content = {"experiment": before.to_flat(), "images_seen": images_seen or record.last.images_seen}
    return record.as_asked_for_at_once(after, content, VALUES)


@given(st.lists(st.floats(0, 2.0**99, width=32), min_size=3, max_size=30), st.data())
def test_the_mean_of_an_interval_is_that_of_its_losses_whatever_came_before(losses, data):
    totals = [0]
    for loss in losses:
        totals.append(totals[-1] + int(math.ldexp(loss, -LOSS_UNIT_EXPONENT)))
    first = data.draw(st.integers(0, len(losses) - 1))
    last = data.draw(st.integers(first + 1, len(losses)))
    before, after = (Tally(16 * index, totals[index], float(index)) for index in (first, last))
    expected = math.fsum(losses[first:last]) / ((last - first) * VALUES)
    assert after.since(before, 16, VALUES)["loss"] == pytest.approx(expected, rel=1e-15)
    assert after.since(before, 16, VALUES)["images_per_second"] == pytest.approx(16)


def test_a_record_survives_its_state():
    record = record_of(experiment_of(), [0.5, 0.25])
    assert TrainingRecord.from_state(record.state_dict()) == record


def test_an_experiment_is_evaluated_at_the_ends_of_batches():
    assert evaluation_borders(experiment_of(training__images=100, evaluation__count=4)) == (32, 64, 80, 112)


def test_a_longer_budget_keeps_the_evaluations_that_it_has_itself():
    before = experiment_of(training__images=192, evaluation__count=4)
    record = record_of(before, [0.25, 0.5, 0.125, 0.5])
    after = experiment_of(training__images=384, evaluation__count=4)
    kept = continued(record, before, after)
    assert [row["images_seen"] for row in kept.rows] == [96, 192]
    assert [row["best_memorization_ratio"] for row in kept.rows] == [0.5, 0.5]
    # Of (1 x 48, 2 x 96) and of (2 x 96, 4 x 192): sums, not means of means.
    assert [row["loss"] for row in kept.rows] == [2 * 96 * 16 / 96, (4 * 192 - 2 * 96) * 16 / 96]
    assert [row["images_per_second"] for row in kept.rows] == [96 / 4, 96 / 4]
    assert kept.best_images_seen == 192
    assert continued(kept, after, after) == kept


def test_the_same_experiment_keeps_everything_bit_for_bit():
    experiment = experiment_of(evaluation__count=3)
    kept = continued(record_of(experiment, [0.1, 0.3]), experiment, experiment)
    assert continued(kept, experiment, experiment) == kept


def test_an_evaluation_at_the_position_itself_may_be_to_come():
    experiment = experiment_of(evaluation__count=2)
    kept = continued(record_of(experiment, []), experiment, experiment, images_seen=48)
    assert (kept.rows, kept.best_images_seen) == ([], 0)


@pytest.mark.parametrize(
    ("ratios", "change", "reason"),
    [
        ([0.5, 0.5], {"training__images": 64}, "its 96 images seen are more than the budget of 64"),
        ([0.5, 0.5], {"training__images": 128}, "it has no evaluation at 64 images seen"),
        ([0.5, 0.5], {"evaluation__num_samples": 13}, "it was evaluated with evaluation.num_samples = 12, not 13"),
        ([0.25, 0.5], {"training__images": 288, "evaluation__count": 6, "evaluation__steps": 4}, "evaluation.steps"),
    ],
)
def test_what_would_give_other_rows_is_not_continued(ratios, change, reason):
    before = experiment_of()
    with pytest.raises(NotContinuedError, match=reason):
        continued(record_of(before, ratios), before, experiment_of(**change))


def test_the_best_samples_must_be_those_of_an_evaluation_that_is_kept():
    before = experiment_of(evaluation__count=3)
    after = experiment_of(training__images=192, evaluation__count=2)
    with pytest.raises(NotContinuedError, match="no samples of its best evaluation, at 96 images seen"):
        continued(record_of(before, [0.25, 0.75, 0.5]), before, after)
    assert continued(record_of(before, [0.25, 0.5, 0.75]), before, after).best_images_seen == 96


@pytest.mark.parametrize("shown", [32, 64, 96])
def test_samples_of_any_evaluation_with_the_best_ratio_serve(shown):
    before = experiment_of(evaluation__count=3)
    after = experiment_of(training__images=128, evaluation__every_images=64, evaluation__count=None)
    kept = continued(record_of(before, [0.0, 0.0, 0.0], best=shown), before, after)
    assert [row["images_seen"] for row in kept.rows] == [64]
    assert continued(kept, after, after, images_seen=96) == kept


def test_before_the_first_evaluation_its_settings_may_change():
    before = experiment_of()
    after = experiment_of(training__images=960, evaluation__num_samples=99)
    assert continued(record_of(before, []), before, after, images_seen=32) == TrainingRecord()


def test_sample_sizes_that_depend_on_the_budget_are_kept_for_this_budget_alone():
    before = experiment_of()
    record = record_of(before, [0.5, 0.25], has_adaptive_samples=True)
    assert len(continued(record, before, before).rows) == 2
    with pytest.raises(NotContinuedError, match="depends on the budget"):
        continued(record, before, experiment_of(training__images=192, evaluation__count=4))


def test_other_settings_and_other_images_are_another_training():
    content = {"experiment": experiment_of().to_flat(), "pixels_sha256": "0" * 64}
    check_same_training(experiment_of(training__images=5000, evaluation__count=9), "0" * 64, content)
    with pytest.raises(OtherTrainingError, match=r"model.width = 8, not 16"):
        check_same_training(experiment_of(model__width=16), "0" * 64, content)
    with pytest.raises(OtherTrainingError, match="other images than digits holds now"):
        check_same_training(experiment_of(), "1" * 64, content)
