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


@pytest.mark.usefixtures("small_inception")
def test_measure_reports_everything(tmp_path, capsys):
    images = load_image_set("digits")[:100].numpy()
    training = np.concatenate([images[:20], images[3:4]])
    # 30 copies: 20 of one image, one of the duplicated one, which the criterion cannot see, and 9 others.
    write_npz(tmp_path / "training.npz", training, None)
    write_npz(tmp_path / "generated.npz", images[[0] * 20 + [3] + list(range(5, 14))], None)
    sets = ["--training", str(tmp_path / "training.npz"), "--generated", str(tmp_path / "generated.npz")]
    assert main(["measure", *sets, "--fid", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers.pop("fid") > 0
    assert numbers["memorization_ratio"] == pytest.approx(29 / 30)
    assert (numbers["replicas"], numbers["most_replicas_of_one_image"]) == (29, 20)
    assert numbers["coverage"] == pytest.approx(10 / 21)
    assert numbers["replica_share_top_1_percent"] == pytest.approx(20 / 29)
    assert (numbers["near_duplicates"], numbers["exact_duplicates"]) == (2, 2)
    assert (numbers["calibrated_distance"], numbers["calibrated_ratio"]) == (0, 1)
    assert main(["measure", *sets, "--fid"]) == 0
    text = capsys.readouterr().out
    assert "coverage 0.4762" in text
    assert "top 1% hold 69.0%" in text
    assert "2 training images have a near copy" in text
    assert "FID " in text
    assert main(["measure", *sets, "--no-duplicates"]) == 0
    assert "near copy" not in capsys.readouterr().out


def test_what_is_undefined_without_replicas_is_null(tmp_path, capsys):
    write_npz(tmp_path / "grey.npz", np.full((4, 1, 8, 8), 99, np.uint8), None)
    arguments = ["measure", "--training", "digits", "--generated", str(tmp_path / "grey.npz")]
    assert main([*arguments, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["replicas"], numbers["coverage"], numbers["replica_gini"]) == (0, 0, None)
    assert main(arguments) == 0
    assert "Gini" not in capsys.readouterr().out


def test_data_says_which_images_have_duplicates(tmp_path, capsys):
    images = load_image_set("digits")[[0, 1, 2, 3, 4, 5, 6, 7, 8, 2]].numpy()
    write_npz(tmp_path / "set.npz", images, None)
    arguments = ["data", "--set", f"data.dataset={tmp_path}/set.npz", "--set", "data.size=10"]
    assert main(arguments) == 0
    assert "duplicates: 2 images have a near copy among the others, 2 an exact one" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(line["near_duplicate"] for line in lines) == sum(line["exact_duplicate"] for line in lines) == 2
    assert main([*arguments, "--json", "--no-duplicates"]) == 0
    assert "duplicate" not in capsys.readouterr().out


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
        (["train", "--set", "evaluation.fid=maybe"], "evaluation.fid = 'maybe'"),
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
