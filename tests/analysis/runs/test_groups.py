import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.results.columns import joined
from analysis.runs.groups import Group, group_titles, summary
from analysis.runs.runs import Runs
from tests.fakes import frame as planted
from tests.fakes import grid, make_table


def test_a_group_differs_in_its_key_and_in_size_only() -> None:
    frame = joined([
        make_table({(128, 1000): 0.9, (256, 1000): 0.95, (256, 2000): 0.8}),
        make_table({(128, 1000): 0.7, (256, 1000): 0.6}, **{"model.depth": 8}),
    ])  # fmt: skip
    found = Runs.of(frame).groups("model.width")
    assert [group.title for group in found] == ["Depth = 2", "Depth = 8"]
    assert [len(group.runs.evaluations) for group in found] == [9, 6]
    assert Runs.of(frame).factors == ["model.width", "model.depth"]


def test_titles_are_unique_whatever_is_cut_missing_or_rounded() -> None:
    def group(rate: float, classes: float = 10.0, **fixed: float) -> Group:
        shown = {"model.width": 64, "model.depth": 2, "data.classes": classes, "training.weight_decay": 0.0}
        return Group("data.size", {**shown, "training.learning_rate": rate, **fixed}, Runs.of(pd.DataFrame()))

    assert group_titles([group(1e-4)]) == ["Width = 64, Depth = 2, Number of classes = 10, ..."]
    apart = group_titles([group(1e-4), group(2e-4), group(1e-4, classes=float("nan"))])
    assert len(set(apart)) == 3
    assert "Learning rate = 0.0002" in apart[1]
    assert len(set(group_titles([group(1e-4), group(1e-4 * (1 + 1e-12))]))) == 2


def test_a_tied_key_is_no_factor_of_its_own() -> None:
    frame = joined([
        make_table({(128, 1000): 0.8}, "training.batch_size", **{"training.learning_rate": 5e-5}),
        make_table({(512, 1000): 0.9}, "training.batch_size", **{"training.learning_rate": 2e-4}),
    ])  # fmt: skip
    assert Runs.of(frame).factors == ["training.batch_size"]
    assert len(Runs.of(frame).groups("training.batch_size")) == 1


def test_an_unknown_or_unvaried_key_has_no_groups() -> None:
    frame = make_table({(128, 1000): 0.9})
    assert Runs.of(frame).groups("model.width") == []
    assert Runs.of(frame).groups("model.nothing") == []


def test_the_summary_averages_seeds_and_a_single_one_has_the_interval_that_it_reports() -> None:
    frame = make_table({(128, 1000): 0.5}, seeds=3)
    data = summary(Runs.of(frame), ["model.width", "data.size"])
    assert data["value"].item() == pytest.approx(50.1)
    assert data["trials"].item() == 3
    single = make_table({(128, 1000): 0.5})
    reported = single[single["epoch"] == 400]
    data = summary(Runs.of(single), ["model.width", "data.size"])
    assert data["low"].item() == pytest.approx(100 * reported["memorization_ratio_low"].item())
    assert data["high"].item() == pytest.approx(100 * reported["memorization_ratio_high"].item())


def test_the_interval_narrows_as_seeds_are_added() -> None:
    widths = []
    for seeds in (2, 4, 8, 16):
        data = summary(Runs.of(planted(grid(seed=range(seeds)), seed_spread=0.3)), ["data.size"])
        widths.append((data["high"] - data["low"]).item())
        assert data["low"].item() < data["value"].item() < data["high"].item()
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.5 * widths[0]


def test_the_interval_over_seeds_covers_the_planted_ratio() -> None:
    hits = 0
    for start in range(0, 120, 3):
        data = summary(Runs.of(planted(grid(seed=range(start, start + 3)), seed_spread=0.2)), ["data.size"])
        hits += data["low"].item() <= 92 <= data["high"].item()
    assert hits >= 36


def test_no_replica_in_any_seed_has_zero_inside_its_interval() -> None:
    frame = make_table({(128, 1000): 0.0}, seeds=2)
    frame["memorization_ratio"] = 0.0
    data = summary(Runs.of(frame), ["model.width"])
    assert data["low"].item() == data["value"].item() == 0
    assert 0 < data["high"].item() < 1


def test_a_distance_has_students_interval_over_seeds_and_none_for_one() -> None:
    frame = make_table({(128, 1000): 0.5}, seeds=3)
    data = summary(Runs.of(frame), ["model.width"], "knn_distance")
    lowest = np.array([40 * (1 - 0.5 - 0.001 * seed) for seed in range(3)])
    half = stats.t.ppf(0.975, 2) * lowest.std(ddof=1) / np.sqrt(3)
    assert data["value"].item() == pytest.approx(lowest.mean())
    assert data["high"].item() - data["value"].item() == pytest.approx(half)
    single = summary(Runs.of(make_table({(128, 1000): 0.5})), ["model.width"], "knn_distance")
    assert pd.isna(single["low"].item())


def test_the_same_training_run_again_by_another_sweep_counts_once() -> None:
    first = make_table({(128, 1000): 0.9, (256, 1000): 0.8}, samples=256)
    again = make_table({(128, 1000): 0.91}, samples=1000).assign(experiment="another")
    data = summary(Runs.of(joined([first, again])), ["model.width"])
    assert data["trials"].tolist() == [1, 1]
    assert data["value"].tolist() == pytest.approx([91, 80]), "of two, the one with more samples"
    assert summary(Runs.of(joined([first, again.assign(seed=1)])), ["model.width"])["trials"].tolist() == [2, 1]
