import json

import numpy as np
import pytest

from memo_core.commands import main
from memo_core.data import write_npz
from memo_core.data.training_set import load_image_set

TINY = [
    "data.size=10", "model.width=8", "model.channel_multipliers=[1,1]", "training.images=32",
    "training.batch_size=16", "evaluation.count=2", "evaluation.num_samples=4", "evaluation.steps=3",
]  # fmt: skip
SETTINGS = [part for setting in TINY for part in ("--set", setting)]


def test_train_then_sample_then_measure(tmp_path, capsys):
    checkpoint, samples = tmp_path / "run", tmp_path / "samples.npz"
    assert main(["train", *SETTINGS, "--out", str(checkpoint), "--device", "cpu"]) == 0
    assert "best memorization ratio" in capsys.readouterr().out
    snapshot = str(checkpoint / "checkpoint.pt")
    arguments = ["--snapshot", snapshot, "--seeds", "0-3,7", "--steps", "3", "--device", "cpu"]
    assert main(["sample", *arguments, "--out", str(samples)]) == 0
    assert load_image_set(str(samples)).shape == (5, 1, 8, 8)
    assert main(["sample", *arguments, "--out", str(tmp_path / "grid.png")]) == 0
    capsys.readouterr()
    assert main(["measure", "--training", "digits", "--generated", str(samples), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["num_samples"] == 5
    assert 0 <= numbers["memorization_ratio_low"] <= numbers["memorization_ratio"] <= numbers["memorization_ratio_high"]


def test_a_seed_gives_the_same_image_alone_and_among_others(tmp_path):
    run = tmp_path / "run"
    main(["train", *SETTINGS, "--out", str(run), "--device", "cpu"])
    common = ["sample", "--snapshot", str(run / "checkpoint.pt"), "--steps", "3", "--device", "cpu"]
    main([*common, "--seeds", "0-7", "--out", str(tmp_path / "many.npz")])
    main([*common, "--seeds", "5", "--out", str(tmp_path / "one.npz")])
    many, one = (load_image_set(str(tmp_path / name)).int() for name in ("many.npz", "one.npz"))
    assert (many[5] - one[0]).abs().max() <= 1


def test_an_existing_checkpoint_is_never_overwritten(tmp_path, capsys):
    arguments = ["train", *SETTINGS, "--out", str(tmp_path), "--device", "cpu"]
    assert main(arguments) == 0
    before = (tmp_path / "checkpoint.pt").read_bytes()
    assert main(arguments) == 2
    assert "--resume continues it" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert main([*arguments, "--resume", "--set", "training.images=64"]) == 0
    assert "images 64" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--set", "data.sizes=3"], "did you mean data.size"),
        (["train", "--set", "data.size"], "expected KEY=VALUE"),
        (["train", "--set", "data.size=1"], "data.size = 1"),
        (["train", "--set", "data.dataset=/nowhere.zip"], "/nowhere.zip"),
        (["train", "--resume", "--out", "/nowhere"], "no checkpoint to resume"),
        (["sample", "--snapshot", "/nowhere.pkl", "--out", "a.npz"], "/nowhere.pkl"),
        (["sample", "--snapshot", "x", "--out", "a.npz", "--seeds", "5-2"], "ascending ranges"),
        (["sample", "--snapshot", "x", "--out", "a.txt"], "ending in .npz or .png"),
        (["measure", "--training", "digits", "--generated", "/nowhere"], "/nowhere"),
        (["measure", "--training", "digits", "--generated", "digits", "--threshold", "2"], "between 0 and 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_sets_of_different_shape_are_refused(tmp_path, capsys):
    write_npz(tmp_path / "colour.npz", np.zeros((2, 3, 8, 8), np.uint8), None)
    assert main(["measure", "--training", "digits", "--generated", str(tmp_path / "colour.npz")]) == 2
    assert "must be alike" in capsys.readouterr().err


def test_an_unknown_command_is_refused_with_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["dance"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
