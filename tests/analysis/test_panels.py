import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.loading.columns import joined
from analysis.panels import panels, studied_keys, summary
from tests.analysis.conftest import make_table


def test_a_panel_differs_in_its_key_and_in_size_only() -> None:
    frame = joined([
        make_table({(128, 1000): 0.9, (256, 1000): 0.95, (256, 2000): 0.8}),
        make_table({(128, 1000): 0.7, (256, 1000): 0.6}, **{"model.depth": 8}),
    ])  # fmt: skip
    found = panels(frame, "model.width")
    assert [panel.title for panel in found] == ["Depth = 2", "Depth = 8"]
    assert [len(panel.frame) for panel in found] == [9, 6]
    assert studied_keys(frame) == ["model.width", "model.depth"]


def test_a_tied_key_is_no_factor_of_its_own() -> None:
    frame = joined([
        make_table({(128, 1000): 0.8}, "training.batch_size", **{"training.learning_rate": 5e-5}),
        make_table({(512, 1000): 0.9}, "training.batch_size", **{"training.learning_rate": 2e-4}),
    ])  # fmt: skip
    assert studied_keys(frame) == ["training.batch_size"]
    assert len(panels(frame, "training.batch_size")) == 1


def test_an_unknown_or_unmoved_key_has_no_panels() -> None:
    frame = make_table({(128, 1000): 0.9})
    assert panels(frame, "model.width") == []
    assert panels(frame, "model.nothing") == []


def test_the_summary_averages_seeds_and_spans_their_intervals() -> None:
    frame = make_table({(128, 1000): 0.5}, seeds=3)
    data = summary(frame, ["model.width", "data.size"])
    assert data["value"].item() == pytest.approx(50.1)
    assert data["trials"].item() == 3
    assert data["low"].item() == pytest.approx(100 * frame["memorization_ratio_low"][frame["epoch"] == 400].min())


def test_a_distance_has_students_interval_over_seeds_and_none_for_one() -> None:
    frame = make_table({(128, 1000): 0.5}, seeds=3)
    data = summary(frame, ["model.width"], "knn_distance")
    lowest = np.array([40 * (1 - 0.5 - 0.001 * seed) for seed in range(3)])
    half = stats.t.ppf(0.975, 2) * lowest.std(ddof=1) / np.sqrt(3)
    assert data["value"].item() == pytest.approx(lowest.mean())
    assert data["high"].item() - data["value"].item() == pytest.approx(half)
    single = summary(make_table({(128, 1000): 0.5}), ["model.width"], "knn_distance")
    assert pd.isna(single["low"].item())
