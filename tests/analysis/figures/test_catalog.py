import io

import pandas as pd
import pytest

from analysis.figures.catalog import Drawn, Missing, figures
from analysis.results.columns import joined
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError
from tests.fakes import make_table


def test_a_real_folder_allows_these_figures_and_all_of_them_render(real: pd.DataFrame) -> None:
    entries = list(figures(Runs.of(real)))
    drawn = [entry for entry in entries if isinstance(entry, Drawn)]
    names = [entry.name for entry in drawn]
    assert len(names) == len(set(names))
    assert {
        "ratio_over_size_by_weight_decay", "ratio_over_weight_decay", "emm_by_zeta_weight_decay", "gallery",
        "sample_size",
    } <= set(names)  # fmt: skip
    # Its trials were evaluated twice.
    assert not [name for name in names if "over_epochs" in name]
    for entry in drawn:
        buffer = io.BytesIO()
        entry.figure.savefig(buffer, format="png", dpi=40)
        assert buffer.tell() > 1000
        assert len(entry.data)


@pytest.mark.parametrize("metric", ["memorization_ratio", "knn_distance"])
def test_the_paper_s_figure_is_named(metric: str) -> None:
    frame = make_table({(128, 500): 0.9, (128, 1000): 0.5, (256, 500): 0.9, (256, 1000): 0.5},
                       epochs=(100.0, 200.0, 300.0))  # fmt: skip
    papers = {entry.name: entry.paper for entry in figures(Runs.of(frame), metric) if isinstance(entry, Drawn)}
    if metric == "memorization_ratio":
        assert papers["ratio_over_size_by_width"] == "Fig. 3a"
        assert papers["ratio_over_width"] == "Fig. 7a"
    else:
        assert set(papers) == {
            "knn_distance_over_epochs_by_size", "knn_distance_over_epochs_by_size_2",
            "knn_distance_over_epochs_by_width", "knn_distance_over_epochs_by_width_2",
            "knn_distance_over_size_by_width", "knn_distance_over_width",
        }  # fmt: skip
        assert papers["knn_distance_over_width"] == "Fig. 18"


@pytest.mark.parametrize("epochs", [(100.0,), (100.0, 200.0)])
def test_what_cannot_be_drawn_says_why(epochs: tuple[float, ...]) -> None:
    frame = make_table({(128, 1000): 0.9}, epochs=epochs)
    reasons = {entry.title: entry.reason for entry in figures(Runs.of(frame)) if isinstance(entry, Missing)}
    assert reasons["over epochs"] == "it needs 3 evaluations a trial at least"
    assert "no two trials differ" in reasons["over a factor"]
    assert "best.npz" in reasons["gallery and sample size"]
    assert [entry.reason for entry in figures(Runs.of(frame), "fid") if isinstance(entry, Missing)] == [
        "no run reports fid"
    ]


def test_memorization_time_needs_three_sizes_and_four_evaluations_and_is_one_figure() -> None:
    finals = {(width, size): ratio for width in (64, 128) for size, ratio in ((500, 0.99), (1000, 0.9), (2000, 0.7))}
    entries = {
        name: {entry.title: entry for entry in figures(Runs.of(make_table(chosen, epochs=epochs)))}["Memorization time"]
        for name, chosen, epochs in (
            ("enough", finals, (100.0, 200.0, 300.0, 400.0)),
            ("evaluations", finals, (100.0, 200.0, 400.0)),
            ("sizes", {key: value for key, value in finals.items() if key[1] > 500}, (100.0, 200.0, 300.0, 400.0)),
        )
    }
    drawn = entries["enough"]
    assert isinstance(drawn, Drawn)
    assert set(drawn.data["setting"]) == {"Width = 64", "Width = 128"}
    assert "evaluations before and after" in drawn.bars
    for name, reason in (("evaluations", "needs 4 evaluations"), ("sizes", "at 3 sizes")):
        missing = entries[name]
        assert isinstance(missing, Missing)
        assert reason in missing.reason


def test_groups_that_are_not_drawn_are_counted() -> None:
    finals = {(width, size): 0.9 for width in (64, 128) for size in (500, 1000)}
    frame = joined([make_table(finals, **{"model.depth": depth}, experiment=str(depth)) for depth in range(1, 7)])
    missing = {entry.title: entry.reason for entry in figures(Runs.of(frame)) if isinstance(entry, Missing)}
    assert missing["over Width, 2 further groups of runs"] == "the 4 with most settings are drawn"


def test_where_nothing_was_memorized_the_number_of_samples_says_nothing(real: pd.DataFrame) -> None:
    zero = real.assign(memorization_ratio=0.0, memorization_ratio_low=0.0)
    entries = list(figures(Runs.of(zero)))
    assert "nothing was memorized" in {e.title: e.reason for e in entries if isinstance(e, Missing)}["sample size"]
    assert "sample_size" not in [entry.name for entry in entries if isinstance(entry, Drawn)]


def test_a_title_names_the_data_set() -> None:
    finals = {(width, size): 0.9 for width in (64, 128) for size in (500, 1000)}
    for resolution, title in ((None, "CIFAR-10"), (16, "CIFAR-10, 16x16")):
        runs = Runs.of(make_table(finals, **{"data.resolution": resolution}))
        drawn = {entry.name: entry for entry in figures(runs) if isinstance(entry, Drawn)}
        assert drawn["ratio_over_width"].figure.axes[0].get_title() == title


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(MemosweepError, match="metric ratio is unknown"):
        list(figures(Runs.of(make_table({(128, 1000): 0.9})), "ratio"))


def test_every_figure_says_what_its_bars_are(real: pd.DataFrame) -> None:
    bars = {entry.name: entry.bars for entry in figures(Runs.of(real)) if isinstance(entry, Drawn)}
    assert bars["ratio_over_weight_decay"].startswith("Bars are 95% intervals: of the samples for")
    assert "95% intervals; triangles are bounds" in bars["emm_by_zeta_weight_decay"]
    assert "bootstrap" in bars["sample_size"]
    others = {entry.name: entry.bars for entry in figures(Runs.of(real), "knn_distance") if isinstance(entry, Drawn)}
    assert "over training seeds" in others["knn_distance_over_weight_decay"]
    frame = make_table({(128, 500): 0.9, (256, 500): 0.5}, epochs=(100.0, 200.0, 300.0))
    longer = {entry.name: entry.bars for entry in figures(Runs.of(frame), "knn_distance") if isinstance(entry, Drawn)}
    assert "span the training seeds" in longer["knn_distance_over_epochs_by_width"]


def test_titles_of_pooled_studies_stay_short_and_name_no_missing_value() -> None:
    differing = {"data.dataset": "digits", "data.resolution": 8, "training.epochs": 400.0, "model.dropout": 0.1}
    own = {"data.dataset": "cifar10", "data.resolution": None, "training.epochs": 200.0, "training.precision": None}
    finals = {(64, 500): 0.9, (64, 1000): 0.8, (128, 500): 0.9, (128, 1000): 0.7}
    frame = joined([
        make_table(finals, **differing), make_table(finals, epochs=(20_000.0, 40_000.0), **own, experiment="other"),
        make_table(finals, **{**differing, "model.depth": 4}, experiment="third"),
    ])  # fmt: skip
    titles = [entry.title for entry in figures(Runs.of(frame)) if isinstance(entry, Drawn) and "Fig." in entry.paper]
    assert "Over Width, digits, Depth = 2" in titles
    assert "Over Width, cifar10, Depth = 2" in titles
    assert all(len(title) < 60 and "none" not in title for title in titles)
