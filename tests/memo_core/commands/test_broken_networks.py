"""Diverged trainings and broken snapshots: one line, exit code 2, and no ratio."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from memo_core.commands import main
from memo_core.training.saving.checkpoint import read_checkpoint

SETTINGS = [
    part
    for setting in (
        "data.size=10", "model.width=8", "model.channel_multipliers=[1,1]", "training.images=64",
        "training.batch_size=16", "evaluation.num_samples=4", "evaluation.steps=3",
    )
    for part in ("--set", setting)
]  # fmt: skip


def train(folder, *settings):
    changes = [part for setting in settings for part in ("--set", setting)]
    return main(["train", *SETTINGS, *changes, "--out", str(folder), "--device", "cpu"])


@pytest.fixture
def blank(tmp_path):
    """Images of one gray level each; the first is black, as NaN samples would be."""
    folder = tmp_path / "blank"
    folder.mkdir()
    for level in range(10):
        Image.fromarray(np.full((8, 8), 20 * level, np.uint8)).save(folder / f"{level}.png")
    return folder


def test_a_diverged_training_is_one_line_and_leaves_its_cause_alone(blank, tmp_path, capsys):
    settings = (f"data.dataset={blank}", "training.warmup_epochs=0", "training.learning_rate=1e30")
    assert train(tmp_path / "run", *settings) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: diverged at 32 images seen: ")
    assert output.err.count("\n") == 1
    assert "learning rate 1e+30" in output.err
    assert "ratio" not in output.out
    # That it diverged, for tables; no numbers.
    (row,) = map(json.loads, (tmp_path / "run/result.json").read_text().splitlines())
    assert (row["failure"], "memorization_ratio" in row) == ("diverged", False)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["result.json"]


def test_what_was_written_before_a_divergence_is_kept(tmp_path, capsys):
    # The warm-up's first step has a rate of 0: the first evaluation is sound.
    assert train(tmp_path, "training.learning_rate=1e30", "evaluation.count=4") == 2
    output = capsys.readouterr()
    assert output.out.count("memorization ratio") == 1
    assert "images 16 " in output.out
    assert "diverged at 32 images seen" in output.err
    assert read_checkpoint(tmp_path / "checkpoint.pt")["images_seen"] == 16
    assert main(["sample", "--snapshot", str(tmp_path / "checkpoint.pt"), "--out", str(tmp_path / "a.npz")]) == 0


@pytest.mark.parametrize("ending", [".npz", ".png"])
@pytest.mark.parametrize("kind", ["checkpoint.pt", "net.safetensors"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_snapshot_draws_no_samples(ending, kind, value, tmp_path, capsys):
    assert train(tmp_path, "evaluation.count=1") == 0
    checkpoint = tmp_path / "checkpoint.pt"
    content = torch.load(checkpoint, weights_only=True)
    next(iter(content["ema"].values()))[0] = value
    torch.save(content, checkpoint)
    if kind != checkpoint.name:
        main(["export", "--snapshot", str(checkpoint), "--out", str(tmp_path / kind)])
    capsys.readouterr()
    out = tmp_path / f"samples{ending}"
    assert main(["sample", "--snapshot", str(tmp_path / kind), "--seeds", "17-20", "--out", str(out)]) == 2
    output = capsys.readouterr()
    assert output.err == ("error: sample of seed 17 is not finite: the network is broken or its training diverged\n")
    assert not out.exists()


def test_a_broken_checkpoint_is_not_continued(tmp_path, capsys):
    assert train(tmp_path, "evaluation.count=1") == 0
    checkpoint = tmp_path / "checkpoint.pt"
    content = torch.load(checkpoint, weights_only=True)
    next(iter(content["model"].values()))[0] = math.nan
    torch.save(content, checkpoint)
    (tmp_path / "checkpoint.sha256").unlink()
    before = checkpoint.read_bytes()
    capsys.readouterr()
    arguments = ["train", *SETTINGS, "--set", "evaluation.count=1", "--out", str(tmp_path), "--device", "cpu"]
    assert main([*arguments, "--resume"]) == 2
    output = capsys.readouterr()
    assert "diverged at 64 images seen: the parameters are not finite" in output.err
    assert "ratio" not in output.out
    assert checkpoint.read_bytes() == before


def test_an_optimum_that_is_not_finite_has_no_ratio(capsys, monkeypatch):
    monkeypatch.setattr(
        "memo_core.model.optimum.OptimalDenoiser._posterior_mean",
        lambda self, queries, levels, rows: torch.full_like(queries, math.nan),
    )
    assert main(["optimum", "--set", "data.size=10", "--set", "evaluation.num_samples=5", "--device", "cpu"]) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: sample of seed 0 is not finite")
    assert "ratio" not in output.out
