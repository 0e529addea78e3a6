import json
import zipfile

import numpy as np
import pytest
import torch

from memo_core.command_line import parse_device
from memo_core.commands import main
from memo_core.data import write_npz
from memo_core.data.training_set import load_image_set
from memo_core.errors import MemosweepError

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
    write_npz(tmp_path / "gray.npz", np.full((4, 1, 8, 8), 99, np.uint8), None)
    arguments = ["measure", "--training", "digits", "--generated", str(tmp_path / "gray.npz")]
    assert main([*arguments, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["replicas"], numbers["coverage"], numbers["replica_gini"]) == (0, 0, None)
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "coverage: no sample is a replica, so that no training image is covered\n" in text
    assert "Gini" not in text


def test_samples_of_the_optimum_are_all_memorized(capsys):
    arguments = ["optimum", "--device", "cpu", "--set", "data.size=20", "--set", "evaluation.num_samples=30"]
    assert main([*arguments, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["memorization_ratio"], numbers["num_samples"], numbers["training_size"]) == (1.0, 30, 20)
    assert main(arguments) == 0
    assert "the optimum of 20 training images: memorization ratio 1.0000" in capsys.readouterr().out


def test_a_seed_gives_the_same_image_alone_and_among_others(tmp_path):
    run = tmp_path / "run"
    main(["train", *SETTINGS, "--out", str(run), "--device", "cpu"])
    common = ["sample", "--snapshot", str(run / "checkpoint.pt"), "--steps", "3", "--device", "cpu"]
    main([*common, "--seeds", "0-7", "--out", str(tmp_path / "many.npz")])
    main([*common, "--seeds", "5", "--out", str(tmp_path / "one.npz")])
    many, one = (load_image_set(str(tmp_path / name)).int() for name in ("many.npz", "one.npz"))
    assert (many[5] - one[0]).abs().max() <= 1


def test_a_checkpoint_exported_as_safetensors_draws_the_same_images(tmp_path, capsys):
    main(["train", *SETTINGS, "--out", str(tmp_path), "--device", "cpu"])
    checkpoint, exported = tmp_path / "checkpoint.pt", tmp_path / "new folder" / "net.safetensors"
    capsys.readouterr()
    assert main(["export", "--snapshot", str(checkpoint), "--out", str(exported)]) == 0
    assert "net.safetensors, described in" in capsys.readouterr().out
    description = json.loads(exported.with_suffix(".json").read_text())
    assert (description["width"], description["resolution"], description["num_labels"]) == (8, 8, 0)
    for name, snapshot in (("one", checkpoint), ("two", exported)):
        arguments = ["--snapshot", str(snapshot), "--seeds", "0-3", "--steps", "3", "--device", "cpu"]
        assert main(["sample", *arguments, "--out", str(tmp_path / f"{name}.npz")]) == 0
    one, two = (load_image_set(str(tmp_path / name)) for name in ("one.npz", "two.npz"))
    assert torch.equal(one, two)
    first = exported.read_bytes()
    assert main(["export", "--snapshot", str(exported), "--out", str(exported)]) == 0
    assert exported.read_bytes() == first


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
        (["sample", "--snapshot", "x", "--out", "a.npz", "--seeds", "0-99999999999999"], "at most 10,000,000 images"),
        (["sample", "--snapshot", "x", "--out", "a.npz", "--seeds", "9" * 5000], "ascending ranges below 2^63"),
        (["sample", "--snapshot", "x", "--out", "a.npz", "--seeds", str(2**63)], "ascending ranges below 2^63"),
        (["train", "--set", "data.seed=" + "9" * 5000], "data.seed = '999"),
        (["train", "--set", "data.seed=" + "9" * 4000], "data.seed = 999"),
        (["train", "--set", "data.classes=" + "[" * 10**5], "data.classes = '[[["),
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
    assert len(error) < 300


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """A folder of what is no image set, no snapshot and no place for results."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "file").write_bytes(b"")
    for name in ("folder.npz", "folder.png", "folder.zip", "folder.json", "empty_checkpoint"):
        (folder / name).mkdir()
    (folder / "empty_checkpoint/checkpoint.pt").write_bytes(b"")
    (folder / "npy.npz").write_bytes(b"\x93NUMPY")
    write_npz(folder / "none.npz", np.zeros((0, 1, 8, 8), np.uint8), None)
    for name, content in (("json", "{"), ("list", "[1]"), ("labels", '{"labels": [[5, 1]]}')):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            archive.writestr("a.png", b"no image")
            archive.writestr("dataset.json", content)
    with zipfile.ZipFile(folder / "image.zip", "w") as archive:
        archive.writestr("a.png", b"no image")
    experiment = {"model.architecture": "optimum", "training.images": 1, "evaluation.count": 1}
    content = {"experiment": experiment, "resolution": 8, "channels": 1, "num_labels": 0, "ema": {}}
    torch.save(content, folder / "optimum.pt")
    torch.save({**content, "experiment": {5: 1}}, folder / "numbered.pt")
    return folder


NOWHERE = ["--set", "data.dataset=/nowhere.zip"]
"""What comes later than the mistake that is to be named."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", *NOWHERE, "--out", "{at}/file"], "file: is a file, name a folder"),
        (["train", *NOWHERE, "--out", "{at}/file/run"], "file/run: cannot be written"),
        (["train", *NOWHERE, "--out", "{at}/" + "a" * 300], "cannot be written"),
        (["sample", "--snapshot", "x", "--out", "{at}/folder.npz"], "folder.npz: is a folder, name a file"),
        (["sample", "--snapshot", "x", "--out", "{at}/folder.png"], "folder.png: is a folder, name a file"),
        (["sample", "--snapshot", "x", "--out", "{at}/file/a.npz"], "file/a.npz: cannot be written"),
        (["data", *NOWHERE, "--out", "{at}/folder.zip"], "folder.zip: is a folder, name a file"),
        (["data", *NOWHERE, "--out", "{at}/file/a.zip"], "file/a.zip: cannot be written"),
        (["export", "--snapshot", "/nowhere.pkl", "--out", "{at}/net.pkl"], "ending in .safetensors"),
        (["export", "--snapshot", "/nowhere.pkl", "--out", "{at}/file/a.safetensors"], "file/a.safetensors: cannot"),
        (["export", "--snapshot", "/nowhere.pkl", "--out", "{at}/folder.safetensors"], "folder.json: is a folder"),
        (["export", "--snapshot", "{at}/optimum.pt", "--out", "{at}/a.safetensors"], "'optimum' has no weights"),
        (["data", *NOWHERE, "--out", "a.txt"], "ending in .npz or .zip"),
        (["data", "--set", "data.dataset="], "empty name"),
        (["data", "--set", "data.dataset=~nosuchuser/x.zip"], "cannot be read"),
        (["data", "--set", "data.dataset=" + "a" * 5000], "cannot be read"),
        (["measure", "--training", "", "--generated", "digits"], "empty name"),
        (["measure", "--training", "{at}/folder.zip", "--generated", "digits"], "holds no images"),
        (["measure", "--training", "{at}/none.npz", "--generated", "digits"], "holds no images"),
        (["measure", "--training", "{at}/npy.npz", "--generated", "digits"], "broken .npz"),
        (["data", "--set", "data.dataset={at}/json.zip", "--set", "data.labels=true"], "not readable JSON"),
        (["data", "--set", "data.dataset={at}/list.zip", "--set", "data.labels=true"], "is a list"),
        (
            ["data", "--set", "data.dataset={at}/labels.zip", "--set", "data.labels=true"],
            "not a list of [file name, class]",
        ),
        (["measure", "--training", "{at}/image.zip", "--generated", "digits"], "a.png: a broken"),
        (["train", "--resume", "--out", "{at}/empty_checkpoint"], "not a readable checkpoint"),
        (["sample", "--snapshot", "{at}/optimum.pt", "--out", "{at}/a.npz"], "'optimum' has no weights"),
        (["sample", "--snapshot", "{at}/numbered.pt", "--out", "{at}/a.npz"], "keys that are not text"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value)[:60],
)
def test_bad_files_are_one_line_and_exit_code_2(bad_files, arguments, message, capsys):
    before = sorted(bad_files.rglob("*"))
    assert main([argument.replace("{at}", str(bad_files)) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(bad_files.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", *NOWHERE, "--out", "unused"],
        ["sample", "--snapshot", "/nowhere.pkl", "--out", "unused.npz"],
        ["measure", "--training", "/nowhere", "--generated", "/nowhere"],
        ["optimum", *NOWHERE],
    ],
    ids=lambda value: value[0],
)
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("foo", "expected cpu, cuda or a numbered GPU"),
        ("", "expected cpu, cuda or a numbered GPU"),
        ("meta", "expected cpu, cuda or a numbered GPU"),
        ("cuda:x", "expected cpu, cuda or a numbered GPU"),
        ("cuda", "not available on this machine, which has cpu"),
        ("cuda:3", "not available on this machine, which has cpu"),
    ],
)
def test_devices_that_are_not_there_are_refused_first(monkeypatch, capsys, arguments, device, message):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main([*arguments, "--device", device]) == 2
    error = capsys.readouterr().err
    assert f"--device {device}: " in error
    assert message in error
    assert error.count("\n") == 1


def test_devices_that_are_there_are_taken(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [str(parse_device(text)) for text in (None, "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    with pytest.raises(MemosweepError, match="which has cpu, cuda:0, cuda:1"):
        parse_device("cuda:2")


def test_a_full_disk_is_one_line(tmp_path, capsys, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main(["data", "--set", "data.size=10", "--out", str(tmp_path / "a.npz")]) == 2
    assert capsys.readouterr().err.count("a.npz: cannot be written (No space left on device; ") == 1
    assert main(["train", *SETTINGS, "--out", str(tmp_path), "--device", "cpu"]) == 2
    assert capsys.readouterr().err.count("checkpoint.pt: cannot be written (No space left on device; ") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_is_refused_with_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["dance"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
