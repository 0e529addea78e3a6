import pandas as pd
import pytest

from analysis.inference.nothing_learned import nothing_learned


def sweep(*trials, ratio=0.0, **settings):
    """Evaluations of trials, each stated by its distances in the order of training."""
    rows = [
        {
            "experiment": "sweep",
            "trial_id": str(trial),
            "images_seen": 100 * (look + 1),
            "memorization_ratio": ratio,
            "knn_distance": distance,
            "training.images": 300,
            **settings,
        }
        for trial, distances in enumerate(trials)
        for look, distance in enumerate(distances)
    ]
    # Files are not read in the order of training.
    return pd.DataFrame(rows[::-1])


def test_distances_that_still_fall_ask_for_a_larger_budget():
    assert nothing_learned(sweep([60.0, 50.0, 40.0], [60.0, 60.0, 52.0])) == (
        "nothing was memorized yet: all 6 evaluations of 2 trials gave a ratio of 0, but the samples still come nearer "
        "to the training images (by 16% between the last two evaluations): raise training.images"
    )


def test_the_budget_is_named_in_the_unit_of_the_sweep():
    frame = sweep([60.0, 40.0], **{"training.images": None, "training.epochs": 100})
    assert nothing_learned(frame).endswith("raise training.epochs")


@pytest.mark.parametrize(("last", "change"), [(39.92, "a fall of 0.2%"), (41.0, "a rise of 2.5%")])
def test_distances_that_no_longer_fall_ask_for_another_setting(last, change):
    line = nothing_learned(sweep([60.0, 40.0, last]))
    assert f"no longer fall ({change} between the last two evaluations)" in line
    assert line.endswith("lower data.size or take a larger network")


def test_one_evaluation_a_trial_says_nothing_of_the_distances():
    assert nothing_learned(sweep([60.0])) == (
        "nothing was memorized yet: the only evaluation gave a ratio of 0; no trial was evaluated twice, which would "
        "show whether it still learns. Try: raise training.images"
    )


def test_a_trial_that_was_evaluated_once_does_not_dilute_the_change():
    assert "by 50% between" in nothing_learned(sweep([40.0, 20.0], [1000.0]))


def test_evaluations_are_not_counted_as_trials():
    assert "all 4 evaluations of 1 trial gave" in nothing_learned(sweep([60.0, 50.0, 40.0, 30.0]))


def test_one_replica_is_something_learned():
    frame = sweep([60.0, 40.0])
    frame.loc[0, "memorization_ratio"] = 0.01
    assert nothing_learned(frame) is None


def test_a_sweep_without_ratios_is_not_judged():
    assert nothing_learned(sweep([60.0], ratio=float("nan"))) is None
    assert nothing_learned(pd.DataFrame()) is None
