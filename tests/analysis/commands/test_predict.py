import json

import pytest

from analysis.commands.main import main
from tests.fakes import falling

SIZES = (500, 1000, 2000, 4000)


def emm_at(width):
    """Grows with the width as a power."""
    return 1100 * (width / 128) ** 1.2


def widths(*values):
    return [
        ({"model.width": width, "data.size": size}, falling(size, emm_at(width))) for width in values for size in SIZES
    ]


def ask(capsys, folder, *settings):
    options = [part for setting in settings for part in ("--set", setting)]
    assert main(["predict", str(folder), *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_unseen_setting_between_those_that_were_run(write_sweep, capsys):
    found = ask(capsys, write_sweep(widths(128, 256, 320)), "model.width=192", "data.size=3000")
    truth = falling(3000, emm_at(192))
    assert found["low"] < truth < found["high"]
    assert found["ratio"] == pytest.approx(truth, abs=0.03)
    assert (found["kind"], found["extrapolation"], found["runs"]) == ("interpolation", 0, 12)
    assert found["setting"] == {"data.size": 3000, "model.width": 192}


def test_extrapolation_is_said_plainly(write_sweep, capsys):
    folder = write_sweep(widths(128, 256))
    found = ask(capsys, folder, "model.width=512", "data.size=3000")
    assert (found["kind"], found["extrapolation"]) == ("extrapolation", 2)
    inside = ask(capsys, folder, "model.width=192", "data.size=3000")
    assert found["high"] - found["low"] > 0
    assert inside["kind"] == "interpolation"
    assert main(["predict", str(folder), "--set", "model.width=512", "--set", "data.size=3000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("expected memorization ratio ")
    assert lines[1] == "extrapolation: model.width=512 is 2 times above the largest value run (256)"
    assert lines[2].startswith("from 8 runs: logit(ratio) over data.size, model.width")


def test_categories_are_written_as_in_set_and_none_is_one(write_sweep, capsys):
    trials = [
        ({"data.resolution": resolution, "data.size": size}, falling(size, emm))
        for resolution, emm in ((None, 1000), (16, 4000), (8, 8000))
        for size in SIZES
    ]
    folder = write_sweep(trials, key="data.resolution")
    native = ask(capsys, folder, "data.resolution=none", "data.size=3000")["ratio"]
    small = ask(capsys, folder, "data.resolution=16", "data.size=3000")["ratio"]
    assert native == pytest.approx(falling(3000, 1000), abs=0.03)
    assert small == pytest.approx(falling(3000, 4000), abs=0.03)
    assert main(["predict", str(folder), "--set", "data.resolution=12", "--set", "data.size=3000"]) == 2
    assert "data.resolution=12 was never run: choose from" in capsys.readouterr().err


def test_a_setting_that_follows_another_need_not_be_given(write_sweep, capsys):
    trials = [
        (
            {"training.batch_size": batch, "training.learning_rate": 2e-4 * batch / 512, "data.size": size},
            falling(size, emm),
        )
        for batch, emm in ((128, 900), (512, 1100), (896, 1150))
        for size in SIZES
    ]
    found = ask(capsys, write_sweep(trials, key="training.batch_size"), "training.batch_size=256", "data.size=2000")
    assert found["keys"] == ["data.size", "training.batch_size"]
    assert found["notes"] == ["training.learning_rate followed another key in every run: as there, so here"]


def test_the_real_sweep(real_sweep, capsys):
    found = ask(capsys, real_sweep, "data.size=15", "training.weight_decay=1e-5", "model.width=16")
    # Between 98% at 10 images and 57% at 20.
    assert 0.6 < found["low"] < found["ratio"] < found["high"] < 0.97
    assert found["notes"] == ["left out: 2 of 8 trials are unfinished, and their ratios may still rise"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["data.size=15"],
            "missing, since these differ among the runs: --set training.weight_decay=... (0, 1e-05, 0.0001)",
        ),
        (["data.size"], "expected KEY=VALUE"),
        (["data.sizes=3"], "did you mean data.size?"),
        (["data.size=many", "training.weight_decay=0"], "--set data.size=many: expected a number"),
        (["data.size=-4", "training.weight_decay=0"], "data.size=-4 must be positive"),
        (["data.size=15", "training.weight_decay=0", "model.width=32"], "--set model.width=32: all runs have 16"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(real_sweep, capsys, settings, message):
    options = [part for setting in settings for part in ("--set", setting)]
    assert main(["predict", str(real_sweep), *options]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("skipped")]
    assert len(error) == 1
    assert message in error[0]


def test_too_few_runs_are_a_clear_error(write_sweep, capsys):
    folder = write_sweep(widths(128)[:2])
    assert main(["predict", str(folder), "--set", "data.size=700"]) == 2
    assert "2 rows are too few for 2 coefficients" in capsys.readouterr().err
    single = write_sweep(widths(128)[:1], name="single")
    assert main(["predict", str(single), "--set", "data.size=500"]) == 2
    assert "nothing to predict from" in capsys.readouterr().err
