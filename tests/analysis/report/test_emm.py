from analysis.report.emm import emm_frame, emm_headline
from analysis.results.load import best
from tests.analysis.planted import frame, grid


def test_values_come_in_order_whatever_the_order_of_the_runs() -> None:
    trials = grid(model__width=(128, 64, 192, 256), data__size=(2000, 500, 1000, 4000))
    estimates = emm_frame(best(frame(trials, lambda s: s["model.width"] / 100)))
    assert estimates["value"].drop_duplicates().tolist() == [64, 128, 192, 256]
    sentence = emm_headline(estimates)[0]
    assert "by width, in training images: " in sentence
    assert sentence.index(" at 64") < sentence.index(" at 128")
