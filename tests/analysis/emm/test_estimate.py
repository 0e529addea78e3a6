"""EMM from tables: crossings, bounds and intervals that say no more than the sizes run."""

import numpy as np
import pandas as pd
import pytest
from scipy import special

import analysis
from analysis.emm.estimate import COLUMNS, emm, fitted_curves, non_monotone
from analysis.emm.search.estimate import emm_table
from analysis.emm.search.search import Proposal, Search
from analysis.figures.emm import draw_emm, search_figure


def paper(name):
    """A published table, ratios as fractions."""
    from importlib import resources

    with (resources.files(analysis) / "paper" / f"{name}.csv").open() as stream:
        table = pd.read_csv(stream)
    table["memorization_ratio"] /= 100
    return table


def logistic_table(emms, slope=2.9, *, sizes=(500, 1000, 2000, 4000), noise=0.0, seeds=1, rng=None):
    rng = rng or np.random.default_rng(0)
    rows = []
    for value, at in emms.items():
        for size in sizes:
            for seed in range(seeds):
                logits = special.logit(0.9) - slope * np.log(size / at) + noise * rng.standard_normal()
                rows.append((value, size, seed, rng.binomial(10_000, special.expit(logits)) / 10_000))
    return pd.DataFrame(rows, columns=["width", "size", "seed", "memorization_ratio"])


def row(frame, **where):
    for key, value in where.items():
        frame = frame[frame[key] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_the_papers_base_model_has_an_emm_near_1100():
    found = emm(paper("conditioning"), "labels")
    assert tuple(found.columns) == COLUMNS
    # Between |D| = 1k (92.09%) and 2k (60.93%), by hand: 1000 * 2 ** (2.09 / 31.16).
    assert row(found, value="none", method="isotonic").emm == pytest.approx(1047.6, abs=0.1)
    assert row(found, value="none", method="logistic").emm == pytest.approx(1080, rel=0.02)
    assert 2.7 < row(found, value="none", method="logistic").slope < 3.0


def test_unique_labels_are_reported_as_a_lower_bound_and_not_as_a_number():
    found = emm(paper("conditioning"), "labels")
    unique = found[found["value"] == "unique"]
    assert set(unique["kind"]) == {"lower_bound"}
    assert set(unique["emm"]) == {5000} and set(unique["emm_high"]) == {np.inf}


def test_table_2_puts_strong_weight_decay_below_the_sizes_run():
    found = emm(paper("weight_decay"), "weight_decay", methods=["isotonic"])
    assert row(found, value=0.05).kind == "upper_bound"
    # It crosses between the two smallest sizes, and within noise below them.
    assert row(found, value=0.0).kind == "uncertain"
    assert (row(found, value=0.05).emm_low, row(found, value=0.05).emm_high) == (0, 1000)


def test_an_extrapolated_crossing_is_marked_as_predicted_beside_its_bound():
    found = emm(logistic_table({"small": 1000, "large": 6000}), "width", methods=["logistic"])
    large = found[found["value"] == "large"]
    assert list(large["kind"]) == ["lower_bound", "extrapolated"]
    assert row(large, kind="extrapolated").emm == pytest.approx(6000, rel=0.1)
    assert not ((found["kind"] == "measured") & (found["emm"] > 4000)).any()


def test_zeta_may_be_an_array_and_a_larger_zeta_gives_a_larger_emm():
    found = emm(logistic_table({64: 900, 128: 1300}), "width", zeta=[0.05, 0.1, 0.2])
    for _, group in found.groupby(["value", "method"]):
        assert list(group["zeta"]) == [0.05, 0.1, 0.2]
        assert group["emm"].is_monotonic_increasing
    one = emm(logistic_table({64: 900, 128: 1300}), "width", zeta=0.1)
    pd.testing.assert_frame_equal(one.reset_index(drop=True), found[found["zeta"] == 0.1].reset_index(drop=True))


def test_figure_22s_order_of_emms_does_not_depend_on_zeta():
    found = emm(paper("conditioning"), "labels", zeta=[0.1, 0.2], methods=["isotonic"])
    for _, group in found.groupby("zeta"):
        assert list(group.sort_values("emm")["value"]) == ["none", "true", "unique"]


def test_the_logistic_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(80):
        at = rng.uniform(700, 2500)
        table = logistic_table({"a": at, "b": 1500}, rng.uniform(2.4, 3.4), noise=0.08, rng=rng)
        found = row(emm(table, "width", methods=["logistic"]), value="a", kind="measured")
        covered.append(found.emm_low <= at <= found.emm_high)
    assert np.mean(covered) > 0.9


def test_seed_noise_widens_intervals_and_repeats_narrow_them():
    quiet = logistic_table({"a": 1500}, noise=0.0, seeds=4)
    noisy = logistic_table({"a": 1500}, noise=0.3, seeds=4)
    more = logistic_table({"a": 1500}, noise=0.3, seeds=16)
    for method in ("isotonic", "logistic"):
        widths = []
        for table in (quiet, noisy, more):
            found = row(emm(table, "width", methods=[method], resamples=100), method=method)
            assert found.trainings == len(table) and found.sizes == 4
            widths.append(found.emm_high - found.emm_low)
        assert widths[1] > 1.3 * widths[0]
        assert widths[2] < 0.8 * widths[1]


def test_evaluations_of_the_same_training_are_pooled_by_their_samples():
    split = pd.DataFrame(
        {
            "width": 1,
            "size": [1000, 1000, 2000],
            "seed": [0, 0, 0],
            "num_samples": [1000, 3000, 4000],
            "memorization_ratio": [0.97, 0.93, 0.6],
        }
    )
    whole = pd.DataFrame(
        {"width": 1, "size": [1000, 2000], "seed": 0, "num_samples": 4000, "memorization_ratio": [0.94, 0.6]}
    )
    a, b = (emm(t, "width", methods=["isotonic"]) for t in (split, whole))
    assert a.emm.iloc[0] == pytest.approx(b.emm.iloc[0])
    assert a.trainings.iloc[0] == 2


def test_rising_ratios_are_reported_unless_noise_explains_them():
    table = pd.DataFrame(
        {
            "depth": [2, 2, 2, 4, 4, 4],
            "size": [500, 1000, 2000] * 2,
            "memorization_ratio": [0.80, 0.95, 0.60, 0.950, 0.951, 0.60],
        }
    )
    reported = non_monotone(table, "depth")
    assert list(reported["value"]) == [2]
    assert (reported["size"].iloc[0], reported["next_size"].iloc[0]) == (500, 1000)
    found = emm(table, "depth", methods=["isotonic"])
    assert list(found["monotone"]) == [False, True]


def test_a_size_run_once_is_a_bound():
    found = emm(pd.DataFrame({"w": [1], "size": [1000], "memorization_ratio": [0.95]}), "w")
    assert set(found["kind"]) == {"lower_bound"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memorization_ratio": [95.0, 60.0]}, "not percent"),
        ({"memorization_ratio": ["high", 0.6]}, "not a number"),
        ({"size": [0, 1000]}, "below 1"),
        ({"num_samples": [0, 10]}, "num_samples 0"),
    ],
)
def test_bad_tables_are_named(change, message):
    table = pd.DataFrame({"w": 1, "size": [1000, 2000], "memorization_ratio": [0.95, 0.6]}).assign(**change)
    with pytest.raises(ValueError, match=message):
        emm(table, "w")


def test_bad_arguments_are_named():
    table = logistic_table({"a": 1500})
    for kwargs, message in (
        ({"zeta": 90}, "zeta 90"),
        ({"methods": ["spline"]}, "'spline' is unknown"),
        ({"confidence": 2}, "confidence 2"),
        ({"size": "n"}, r"lacks the column\(s\) n"),
    ):
        with pytest.raises(ValueError, match=message):
            emm(table, "width", **kwargs)
    with pytest.raises(ValueError, match="no rows"):
        emm(table.iloc[:0], "width")


def search_of(name, factor):
    """A search that has seen a published table."""
    table = paper(name)
    search = Search(list(table[factor].unique()), int(table["size"].min()), int(table["size"].max()))
    for number, line in enumerate(table.itertuples(), 1):
        proposal = Proposal(-number, getattr(line, factor), line.size, 0, 10_000)
        search.observe(proposal, line.memorization_ratio)
    return search


def test_the_table_of_a_search_has_a_row_for_each_value_with_costs_in_emms():
    estimates = search_of("conditioning", "labels").estimates()
    found = emm_table(estimates)
    assert list(found["value"]) == ["none", "true", "unique"]
    none = row(found, value="none")
    assert none.emm == pytest.approx(1090, rel=0.03) and none.emm_low <= none.emm <= none.emm_high
    assert (none.bracket_low, none.bracket_high) == (1000, 2000)
    assert none.grid_images == 15_500
    assert none.grid_cost_in_emms == pytest.approx(15_500 / none.emm)
    assert emm_table(estimates, ()).grid_images.isna().all()
    assert none.images_trained == 15_000 and none.trainings == 5
    assert row(found, value="unique").kind == "lower_bound"


def test_the_figure_of_a_search_holds_trainings_curves_and_crossings_of_each_value():
    search = search_of("conditioning", "labels")
    data = search_figure(search)
    assert len(data.trainings) == 15 and len(data.crossings) == 3
    assert data.crossings["emm"].tolist() == [found.emm for found in search.estimates()]
    assert (
        (data.curves["ratio_low"] <= data.curves["ratio"]) & (data.curves["ratio"] <= data.curves["ratio_high"])
    ).all()
    for _, curve in data.curves.groupby("value"):
        assert curve["ratio"].is_monotonic_decreasing
    drawn = [container for container in draw_emm(data).axes[0].containers if container.has_yerr]
    assert len(drawn) == 3
    for points, _, (bars,) in drawn:
        for ratio, bar in zip(points.get_ydata(), bars.get_segments(), strict=True):
            assert bar[0, 1] <= ratio <= bar[1, 1]


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_the_curves_of_a_table_cross_at_its_estimates(method):
    table = paper("conditioning")
    curves = fitted_curves(table, "labels", method, points=2000)
    estimates = emm(table, "labels", 0.1, [method])
    for value in ("none", "true"):
        curve = curves[curves["value"] == value]
        crossing = np.exp(np.interp(-0.9, -curve["ratio"], np.log(curve["size"])))
        assert crossing == pytest.approx(row(estimates, value=value).emm, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "factor"),
    [("conditioning", "labels"), ("batch_size", "batch_size"), ("weight_decay", "weight_decay")],
)
def test_published_tables_can_be_drawn(name, factor, tmp_path):
    figure = draw_emm(search_figure(search_of(name, factor)), title=name)
    figure.savefig(tmp_path / "emm.png")
    assert (tmp_path / "emm.png").stat().st_size > 5000
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    # Beside what the marks mean.
    values = [label for label in labels if not label.startswith(("EMM", "1 - zeta"))]
    assert len(values) == paper(name)[factor].nunique()


def test_an_empty_search_cannot_be_drawn():
    with pytest.raises(ValueError, match="no trainings"):
        search_figure(Search(["a"], 100, 1000))


def test_tables_of_results_are_read_by_the_last_parts_of_their_keys():
    dotted = paper("conditioning").rename(columns={"labels": "data.labels", "size": "data.size"})
    pd.testing.assert_frame_equal(emm(dotted, "labels"), emm(paper("conditioning"), "labels"))
    pd.testing.assert_frame_equal(non_monotone(dotted, "labels"), non_monotone(paper("conditioning"), "labels"))


def test_evaluations_of_a_trial_are_not_averaged_into_its_ratio():
    table = pd.DataFrame({"size": [10, 10], "memorization_ratio": [0.1, 0.9], "trial_id": ["a", "a"]})
    with pytest.raises(ValueError, match="several evaluations of a trial"):
        emm(table, "")


def test_a_short_name_that_several_columns_share_is_refused():
    table = paper("batch_size").rename(columns={"batch_size": "training.batch_size"})
    with pytest.raises(ValueError, match=r"may be training\.batch_size or evaluation\.batch_size"):
        emm(table.assign(**{"evaluation.batch_size": 500}), "batch_size")
