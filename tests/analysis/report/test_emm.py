from analysis.report.headlines import emm_headline
from analysis.report.page import emm_frame
from analysis.results.columns import joined
from analysis.runs.runs import Runs
from analysis.tables.emm import emm_table
from tests.fakes import frame, grid, make_table


def test_values_come_in_order_whatever_the_order_of_the_runs() -> None:
    trials = grid(model__width=(128, 64, 192, 256), data__size=(2000, 500, 1000, 4000))
    estimates, _ = emm_frame(Runs.of(frame(trials, lambda s: s["model.width"] / 100)))
    assert estimates["value"].drop_duplicates().tolist() == [64, 128, 192, 256]
    sentence = emm_headline(estimates)[0]
    assert "by width, in training images: " in sentence
    assert sentence.index(" at 64") < sentence.index(" at 128")


def test_bounds_stand_in_the_sentence() -> None:
    finals = {(decay, size): ratio for decay, ratios in
              ((0.0, (0.99, 0.6)), (0.001, (0.97, 0.55)), (0.01, (0.2, 0.1)), (0.05, (0.1, 0.0)), (0.0001, (1.0, 0.97)))
              for size, ratio in zip((10, 20), ratios, strict=True)}  # fmt: skip
    (sentence,) = emm_headline(emm_frame(Runs.of(make_table(finals, "training.weight_decay")))[0])
    assert "below 10 at 0.01, 0.05" in sentence
    assert "at least 20 at 0.0001" in sentence
    assert " at 0;" in sentence
    assert sentence.endswith(" at 0.001; below 10 at 0.01, 0.05.") or "clearly below 90%" in sentence


def test_bounds_alone_are_a_sentence_too() -> None:
    low = make_table({(0.0, 10): 0.3, (0.0, 20): 0.1, (0.1, 10): 0.2, (0.1, 20): 0.0}, "training.weight_decay")
    (sentence,) = emm_headline(emm_frame(Runs.of(low))[0])
    assert "in training images: below 10 at 0, 0.1. To measure it, run sizes" in sentence


def test_what_is_estimated_of_several_studies_is_said() -> None:
    finals = {(width, size): ratio for width in (64, 128) for size, ratio in ((500, 0.95), (1000, 0.5))}
    other = make_table(finals, experiment="deep", **{"model.depth": 4})
    estimates, _ = emm_frame(Runs.of(joined([make_table(finals), other])))
    of_width = estimates[estimates["key"] == "model.width"]
    assert of_width["among"].tolist() == ["Depth = 2", "Depth = 2", "Depth = 4", "Depth = 4"]
    assert "by width (Depth = 2; 1 further group in the table), in training" in emm_headline(of_width)[0]
    assert ["Width", "Depth = 2"] in [row[:2] for row in emm_table(estimates).rows]
