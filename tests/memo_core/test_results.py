"""What one training leaves without Ray is what the analysis reads."""

import json

import pytest

import analysis
from analysis.results.samples import best_samples
from memo_core.commands import main
from memo_core.experiment import Experiment
from memo_core.results import RESULT_FILE, experiment_id, result_lines
from memo_core.training.saving.checkpoint import read_checkpoint


def options(settings):
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def train(folder, settings, *more):
    return main(["train", *options(settings), "--out", str(folder), "--device", "cpu", *more])


def test_a_training_is_read_as_a_trial_and_so_is_one_that_went_on(tmp_path, tiny):
    folder = tmp_path / "sweep/trial"
    # The second start finds nothing left to train, and what the first one lost is written again.
    for _ in range(2):
        assert train(folder, tiny, "--auto-resume") == 0
        frame = analysis.load(tmp_path / "sweep", cache=False)
        assert frame["images_seen"].tolist() == [48, 96]
        assert frame["status"].unique().tolist() == ["terminated"]
        experiment = Experiment.from_flat(read_checkpoint(folder / "checkpoint.pt")["experiment"]).to_flat()
        assert frame["trial_id"].unique().tolist() == [experiment_id(experiment)]
        assert (frame["seconds"] > 0).all()
        assert best_samples(frame["folder"][0])["memorized"].shape == (12,)
        (folder / RESULT_FILE).unlink()


def test_a_training_that_diverges_is_read_as_one(tmp_path, tiny, capsys):
    broken = {**tiny, "training.learning_rate": 1e9, "training.warmup_epochs": 0, "evaluation.count": 1}
    assert train(tmp_path / "sweep/trial", broken) == 2
    assert "diverged" in capsys.readouterr().err
    frame = analysis.load(tmp_path / "sweep", cache=False)
    assert frame["status"].tolist() == ["diverged"]
    assert frame["memorization_ratio"].isna().all()


@pytest.mark.parametrize("done", [True, False])
def test_the_last_line_alone_says_whether_a_trial_is_over(done):
    rows = [{"images_seen": 5, "timestamp": 7, "time_total_s": 1.5}, {"images_seen": 9}]
    lines = [json.loads(line) for line in result_lines(rows, {"seed": 3}, done)]
    assert [line["done"] for line in lines] == [False, done]
    assert [line["training_iteration"] for line in lines] == [1, 2]
    assert lines[0]["time_total_s"] == 1.5
