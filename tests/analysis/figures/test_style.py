import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest

from analysis.figures.bootstrap import bootstrap_data, sample_size_bootstrap
from analysis.figures.style import new_figure, place_of, plain_log_axis, round_log_axis, spaced


@pytest.mark.parametrize("values", [(1234.0, 1300.0), (0.031, 0.4), (3.0, 3.0), (150.0, 9e6)])
def test_a_log_axis_has_a_tick_at_both_ends(values: tuple[float, float]) -> None:
    axes = new_figure().axes[0]
    plain_log_axis(axes, [*values, math.inf, 0.0])
    ticks = axes.get_yticks()
    low, high = axes.get_ylim()
    assert low <= ticks[0] <= values[0]
    assert values[1] <= ticks[-1] <= high
    assert len({tick.get_text() for tick in axes.get_yticklabels()}) == len(set(ticks))
    assert all(after / before >= 1.01 for before, after in itertools.pairwise(ticks))


def test_ticks_keep_their_distance() -> None:
    assert spaced([15, 18, 22, 40, 250, 256], room=6) == [15, 40, 250]
    assert spaced([500, 1000, 2000, 3000, 4000, 5000]) == [500, 1000, 2000, 3000, 4000, 5000]
    assert spaced([]) == []


def test_ratios_of_zero_draw_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample_size_bootstrap(bootstrap_data({"a": np.zeros(300, bool)})).draw_without_rendering()


def test_labels_of_sample_sizes_do_not_touch() -> None:
    figure = sample_size_bootstrap(bootstrap_data({"a": np.arange(256) < 100}))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_sample_sizes_have_round_ticks() -> None:
    axes = new_figure().axes[0]
    round_log_axis(axes, [2.56, 10, 17.3, 256])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["5", "10", "20", "50", "100", "200"]
    round_log_axis(axes, [10, 100_000])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10", "100", "1k", "10k", "100k"]


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
def test_a_missing_value_has_a_place_of_its_own(missing: object) -> None:
    values = [missing, "1,0,0", missing]
    assert place_of(values, "1,0,0") == 1
    assert place_of(values, missing) == 0
    assert place_of(["1,0,0", missing], pd.NA) == 1
