import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.emm.estimate import emm
from analysis.figures.bootstrap import bootstrap_data, sample_size_bootstrap
from analysis.figures.emm import emm_by_zeta
from analysis.figures.factor import factor_data, metric_over_factor, metric_over_skips, skips_data, trials_over_factor
from analysis.figures.gallery import GalleryRow, gallery, gallery_data, gallery_rows, shown_samples, shown_trials
from analysis.figures.memorization_time import memorization_time, memorization_time_data
from analysis.figures.metric import epochs_data, metric_over_epochs, metric_over_size, size_data
from analysis.inference.emm import group_crossings
from analysis.runs.groups import Group
from analysis.runs.runs import Runs
from tests.fakes import grid, make_table, write_sweep

FINALS = {(128, 500): 0.95, (128, 1000): 0.85, (256, 500): 0.98, (256, 1000): 0.93, (256, 2000): 0.6}


def curves(axes: Axes) -> dict[str, NDArray[np.float64]]:
    """What error-bar curves show, by legend entry: (N, 2) points."""
    found = {}
    for container in axes.containers:
        line = container[0]
        found[str(container.get_label())] = np.column_stack([line.get_xdata(), line.get_ydata()])
    return found


def test_ratio_over_epochs_draws_a_curve_per_size_in_percent() -> None:
    figure = metric_over_epochs(Runs.of(make_table({(128, 500): 0.9, (128, 1000): 0.5})))
    drawn = curves(figure.axes[0])
    assert drawn["|D| = 500"] == pytest.approx(np.array([(100, 22.5), (200, 45), (400, 90)]))
    assert drawn["|D| = 1k"][-1] == pytest.approx(np.array((400, 50)))
    assert figure.axes[0].get_ylabel() == "Memorization ratio (%)"


def test_bars_at_the_same_place_lie_beside_each_other_on_paper() -> None:
    figure = metric_over_size(Runs.of(make_table(dict.fromkeys(FINALS, 0.5))), "model.width")
    figure.draw_without_rendering()
    lines = [container[0] for container in figure.axes[0].containers]
    bars = [container[2][0] for container in figure.axes[0].containers]
    for drawn in (lines, bars):
        places = [artist.get_transform().transform((500, 50))[0] for artist in drawn]
        assert places[1] - places[0] == pytest.approx(3 / 72 * figure.dpi)


def test_epochs_data_averages_seeds_and_keeps_the_interval() -> None:
    data = epochs_data(Runs.of(make_table({(128, 500): 0.5}, seeds=2)), "model.width")
    assert data["trials"].tolist() == [2, 2, 2]
    assert data["value"].tolist() == pytest.approx([12.55, 25.05, 50.05])
    assert ((data["low"] < data["value"]) & (data["value"] < data["high"])).all()


def test_ratio_over_size_draws_a_curve_per_value_the_line_and_the_crossings() -> None:
    figure = metric_over_size(Runs.of(make_table(FINALS)), "model.width")
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    drawn = curves(axes)
    assert drawn["Width = 128"] == pytest.approx(np.array([(500, 95), (1000, 85)]))
    assert drawn["Width = 256"][:, 1] == pytest.approx([98, 93, 60])
    texts = [text.get_text() for text in axes.texts]
    assert "1 - zeta = 90%" in texts
    assert "EMM 707" in texts  # halfway in ln |D| between 500 and 1,000
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["500", "1k", "2k"]


def test_size_data_of_a_distance_is_its_lowest_and_has_no_line() -> None:
    frame = make_table(FINALS)
    data = size_data(Runs.of(frame), "model.width", "knn_distance")
    assert data["value"].tolist() == pytest.approx([40 * (1 - ratio) for ratio in FINALS.values()])
    axes = metric_over_size(Runs.of(frame), "model.width", "knn_distance").axes[0]
    assert axes.get_ylabel() == "kNN distance"
    assert not axes.texts


def test_one_curve_over_size_where_nothing_else_moves() -> None:
    figure = metric_over_size(Runs.of(make_table({(128, 500): 0.9, (128, 1000): 0.5})), "data.size")
    assert len(figure.axes[0].containers) == 1


@pytest.mark.parametrize("ratios", [[0.8, 0.95, 0.5], [0.88, 0.95, 0.5], [0.99, 0.7, 0.92, 0.4], [0.99, 0.97, 0.7]])
def test_figures_mark_the_crossing_of_the_emm_table(ratios: list[float]) -> None:
    frame = make_table({(64, 1000 * 2**index): ratio for index, ratio in enumerate(ratios)}, epochs=(400.0,))
    marked = group_crossings(Group("model.width", {}, Runs.of(frame)), (0.1,)).iloc[0]
    table = emm(frame, "model.width", 0.1, ["isotonic"], size="data.size").iloc[0]
    assert (marked["kind"], marked["emm"]) == (table["kind"], pytest.approx(table["emm"]))


def test_the_interval_over_epochs_narrows_as_seeds_are_added() -> None:
    widths = []
    for seeds in (2, 8):
        data = epochs_data(Runs.of(make_table({(128, 500): 0.5}, seeds=seeds)), "model.width")
        widths.append(float((data["high"] - data["low"]).iloc[-1]))
    assert widths[1] < 0.7 * widths[0]


def test_ratio_over_a_factor_draws_a_curve_per_size() -> None:
    figure = metric_over_factor(Runs.of(make_table(FINALS)), "model.width")
    drawn = curves(figure.axes[0])
    assert drawn["|D| = 500"] == pytest.approx(np.array([(0, 95), (1, 98)]))
    assert drawn["|D| = 2k"] == pytest.approx(np.array([(1, 60)]))
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["128", "256"]


def test_sizes_with_a_single_value_are_no_curves_where_a_search_has_many() -> None:
    sizes = range(100, 1000, 100)
    finals = {(64 if size % 200 else 128, size): 0.5 for size in sizes} | {(width, 50): 0.9 for width in (64, 128)}
    assert set(curves(metric_over_factor(Runs.of(make_table(finals)), "model.width").axes[0])) == {"|D| = 50"}


def test_the_size_over_itself_is_one_curve_without_a_legend() -> None:
    frame = make_table({(128, 500): 0.95, (128, 2000): 0.6})
    axes = metric_over_factor(Runs.of(frame), "data.size").axes[0]
    (line,) = axes.containers[0].lines[:1]
    assert np.asarray(line.get_xydata()) == pytest.approx(np.array([(500, 95), (2000, 60)]))
    assert axes.get_legend() is None


def test_a_decay_of_zero_has_its_place_on_a_log_axis() -> None:
    frame = make_table({(0.0, 10): 0.9, (0.001, 10): 0.8, (0.1, 10): 0.1}, "training.weight_decay")
    axes = metric_over_factor(Runs.of(frame), "training.weight_decay").axes[0]
    assert axes.get_xscale() == "symlog"
    assert curves(axes)["|D| = 10"][:, 0].tolist() == [0, 0.001, 0.1]
    assert axes.get_xlabel() == "Weight decay"


def test_a_missing_value_of_a_factor_is_a_category() -> None:
    frame = make_table({(None, 10): 0.9, ("1,0,1", 10): 0.5}, "model.skip_connections")
    data = factor_data(Runs.of(frame), "model.skip_connections")
    assert len(data) == 2
    axes = metric_over_factor(Runs.of(frame), "model.skip_connections").axes[0]
    assert {tick.get_text() for tick in axes.get_xticklabels()} == {"101", "all"}


def test_the_interval_of_a_ratio_is_drawn() -> None:
    frame = make_table({(128, 1000): 0.5})
    axes = metric_over_factor(Runs.of(frame), "model.width").axes[0]
    segment = axes.containers[0][2][0].get_segments()[0]
    low, high = frame["memorization_ratio_low"].iloc[-1], frame["memorization_ratio_high"].iloc[-1]
    assert segment[:, 1].tolist() == pytest.approx([100 * low, 100 * high])


def test_skip_connections_by_resolution_and_place() -> None:
    masks = {"1,1,0,0,0,0": 0.9, "0,0,0,0,1,1": 0.2, "1,0,0,0,0,0": 0.8, "0,0,1,0,0,0": 0.4, "1,0,1,0,0,0": 0.5}
    frame = make_table({(mask, 1000): ratio for mask, ratio in masks.items()}, "model.skip_connections",
                       **{"model.depth": 1})  # fmt: skip
    data = skips_data(Runs.of(frame))
    assert len(data) == 4  # a mask over two resolutions has no place
    figure = metric_over_skips(data, resolution=32)
    left, right = (curves(axes) for axes in figure.axes)
    assert left["2 kept"] == pytest.approx(np.array([(0, 90), (2, 20)]))
    assert left["1 kept"] == pytest.approx(np.array([(0, 80), (1, 40)]))
    assert right["32x32"] == pytest.approx(np.array([(1, 80)]))
    assert right["16x16"] == pytest.approx(np.array([(3, 40)]))


def test_emm_by_zeta_draws_points_and_arrows_for_bounds() -> None:
    frame = make_table(FINALS)
    data = group_crossings(Group("model.width", {}, Runs.of(frame)), (0.1, 0.5))
    assert data["kind"].tolist() == ["uncertain", "lower_bound", "measured", "lower_bound"]
    axes = emm_by_zeta(data, "model.width", [500, 1000, 2000]).axes[0]
    assert axes.get_yscale() == "log"
    marks = {kind: [y for line in axes.lines if line.get_marker() == mark for y in line.get_ydata()]
             for kind, mark in (("crossing", "o"), ("lower_bound", "^"), ("upper_bound", "v"))}  # fmt: skip
    kinds = data["kind"].replace({"measured": "crossing", "uncertain": "crossing"})
    for kind, drawn in marks.items():
        assert drawn == pytest.approx(data["emm"][kinds == kind].tolist())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["zeta = 0.1", "zeta = 0.5", "at least this"]


def test_the_bootstrap_has_the_mean_and_the_deviation_of_a_proportion() -> None:
    flags = np.arange(1000) < 300
    data = bootstrap_data({"a": flags}, sizes=[100, 1000])
    assert data["value"].tolist() == pytest.approx([30, 30], abs=0.5)
    assert data["deviation"].tolist() == pytest.approx([100 * math.sqrt(0.21 / n) for n in (100, 1000)], rel=0.1)
    pd.testing.assert_frame_equal(data, bootstrap_data({"a": flags}, sizes=[100, 1000]))
    left, right = sample_size_bootstrap(data).axes
    assert curves(left)["a"] == pytest.approx(data[["samples", "value"]].to_numpy(dtype=float))
    assert right.lines[0].get_ydata().tolist() == data["deviation"].tolist()


def test_memorization_time_over_size_with_its_slope() -> None:
    frame = make_table({(1, 500): 0.99, (1, 1000): 0.8, (1, 2000): 0.6, (1, 4000): 0.3})
    part = memorization_time_data(Runs.of(frame))
    axes = memorization_time({"": part}).axes[0]
    assert part.scaling is not None
    ((label, points),) = curves(axes).items()
    assert label.startswith(f"ratio passes 50%: slope {part.scaling.slope:.2f}")
    assert points[:, 1] == pytest.approx(part.times["time"].tolist()[:3])
    assert [4000, 400] in [line.get_xydata().tolist()[0] for line in axes.lines if len(line.get_xydata()) == 1]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_the_gallery_frames_replicas_only() -> None:
    images = np.zeros((2, 1, 4, 4), dtype=np.uint8)
    row = GalleryRow("a", images, images, np.array([True, False]))
    figure = gallery([row], columns=2)
    frames = [patch.get_xy() for patch in figure.axes[0].patches]
    assert [(int(x), int(y)) for x, y in frames] == [(0, 0), (0, 1)]
    picture = figure.axes[0].images[0].get_array()
    assert picture is not None
    assert picture.shape == (2 * 70, 2 * 70)
    assert gallery_data([row])["memorized"].tolist() == [True, False]


def test_replicas_come_first_and_a_constant_size_is_named(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "width", grid(model__width=(64, 128), data__size=(2000,)))
    rows = gallery_rows(Runs.read(folder, cache=False))
    assert len(rows) == 2
    for row in rows:
        assert row.title.startswith("|D| = 2k, Width = ")
        assert 0 < row.memorized.sum() < len(row.memorized) == len(row.generated)
        assert row.memorized.tolist() == sorted(row.memorized.tolist(), reverse=True)


def test_gallery_rows_go_from_most_to_least_memorizing(sweep: Path) -> None:
    rows = gallery_rows(Runs.read(sweep, cache=False), limit=8)
    assert [row.title for row in rows] == [
        "Weight decay = 0, |D| = 10: 95.7% memorized",
        "Weight decay = 0, |D| = 20: 55.9% memorized",
    ]


def test_categories_are_drawn_in_the_order_of_the_axis() -> None:
    finals = {("none", 10): 0.1, ("random", 10): 0.3, ("true", 10): 0.2, ("unique", 10): 0.4}
    axes = metric_over_factor(Runs.of(make_table(finals, "data.labels")), "data.labels").axes[0]
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert labels == ["unconditional", "true labels", "random labels", "unique labels"]
    assert curves(axes)["|D| = 10"] == pytest.approx(np.array([(0, 10), (1, 20), (2, 30), (3, 40)]))


def test_a_searchs_trials_are_points_and_the_highest_is_marked() -> None:
    runs = make_table({(1, 10): 0.9, (2, 10): 0.95}, "model.depth")
    other = make_table({(2, 10): 0.1}, "model.depth").assign(trial_id="x", **{"training.learning_rate": 0.1})
    axes = trials_over_factor(Runs.of(pd.concat([runs, other], ignore_index=True)), "model.depth").axes[0]
    assert sorted(curves(axes)["trials"][:, 1]) == pytest.approx([10, 90, 95])
    for lowest, extreme in ((False, 95), (True, 10)):
        marked = trials_over_factor(
            Runs.of(pd.concat([runs, other], ignore_index=True)), "model.depth", lowest=lowest
        ).axes[0]
        (star,) = [line for line in marked.lines if line.get_marker() == "*"]
        assert star.get_ydata() == pytest.approx([extreme])
        assert star.get_label() == ("lowest" if lowest else "highest")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2"]


def test_gallery_rows_name_the_factor_of_their_sweep(sweep: Path) -> None:
    runs = Runs.read(sweep, cache=False)
    for row in gallery_rows(runs):
        assert "Weight decay = " in row.title
    titles = [row.title for row in gallery_rows(runs, varied=["data.size"])]
    assert titles and all(title.startswith("Weight decay = ") for title in titles)


def test_the_gallery_has_a_trial_of_each_value_where_they_differ_most(tmp_path: Path) -> None:
    trials = grid(model__width=(64, 128, 256), data__size=(500, 2000), seed=(0, 1))
    folder = write_sweep(tmp_path / "width", trials, lambda settings: settings["model.width"] / 100)
    shown = shown_trials(Runs.read(folder, cache=False), limit=8)
    assert [(run["model.width"], run["data.size"]) for run, _ in shown] == [(256, 2000), (128, 2000), (64, 2000)]


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.integers(1, 20))
def test_a_gallery_shows_replicas_in_their_share_and_some_of_each_kind(memorized, count):
    kept = memorized[:64]
    shown = shown_samples({"memorized": np.array(memorized), "generated": np.zeros((len(kept), 1, 2, 2))}, count)
    assert len(shown) == len(set(shown)) == min(count, len(kept))
    framed = [kept[index] for index in shown]
    assert framed == sorted(framed, reverse=True)
    if count > 1:
        assert {*framed} == {*kept} or len(kept) < 2
    expected = count * sum(memorized) / len(memorized)
    if len(kept) == len(memorized) and count <= len(kept) and any(memorized) and not all(memorized):
        assert abs(sum(framed) - expected) <= 1
