"""Results of fine-tuned pipelines, with the settings that the sweep of Table 3 gives its trials."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.findings import verdicts
from analysis.report.gallery import gallery
from analysis.report.overview import describe
from analysis.report.page import build
from analysis.runs.runs import Runs
from analysis.tables.paper import paper_table, write_paper_table
from analysis.tables.prompts import prompts_table
from analysis.tables.published import BLOCKS, published
from memo_core.errors import MemosweepError
from memo_core.experiment.presets import experiment_from

SAMPLES = 10_000


def write_trial(folder: Path, settings: Mapping[str, Any], ratio: float, number: int) -> Path:
    """A finished trial of the paper's preset."""
    config = experiment_from("paper-text", settings).to_flat()
    config["data.dataset"] = "/data/imagenette2-320/train"
    identity = f"{number:012x}"
    trial = folder / f"trial_{identity}"
    trial.mkdir(parents=True)
    row = {
        "epoch": 400_000 / config["data.size"], "images_seen": 400_000, "loss": 0.1, "memorization_ratio": ratio,
        "memorization_ratio_low": ratio, "memorization_ratio_high": ratio, "best_memorization_ratio": ratio,
        "knn_distance": 40.0, "num_samples": SAMPLES, "images_per_second": 30.0, "done": True, "training_iteration": 1,
        "trial_id": identity, "time_total_s": 9.0, "timestamp": 1, "config": config,
    }  # fmt: skip
    (trial / "result.json").write_text(json.dumps(row) + "\n")
    return trial


@pytest.fixture(scope="module")
def table3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 40 trials with the published ratios."""
    folder = tmp_path_factory.mktemp("runs") / "text_conditioning"
    (block,) = BLOCKS[3]
    for number, (_, cell) in enumerate(published(block).iterrows()):
        method = cell["text.method"]
        settings = {
            "text.method": method,
            "text.lora_rank": None if method == "full" else int(cell["text.lora_rank"]),
            "text.prompt": cell["text.prompt"],
            "data.size": int(cell["data.size"]),
            "training.learning_rate": 1e-4 if method == "full" else 3e-4,
        }
        write_trial(folder, settings, cell["published"] / 100, number)
    plan = {"factor": {"name": "text_conditioning", "key": "text.method"}, "preset": "paper", "trials": []}
    (folder / "sweep.json").write_text(json.dumps({"plan": plan}))
    return folder


def test_every_cell_of_table_3_has_its_trial(table3: Path) -> None:
    table = paper_table(3, Runs.read(table3))
    cells = table.data
    assert len(cells) == 40
    assert cells["trials"].tolist() == [1] * 40
    assert cells["difference"].abs().max() < 1e-9
    assert set(cells["dataset"]) == {"imagenette"}
    text = write_paper_table(table)
    assert "full fine-tuning" in text
    assert "46.89 (46.89, +0.00)" in text


def test_the_published_ratios_support_the_finding(table3: Path) -> None:
    (verdict,) = [found for found in verdicts(Runs.read(table3)) if found.id == "text_class_prompts_raise"]
    assert verdict.headline == "supported"


def test_replicas_are_counted_by_prompt_with_the_images_that_they_show(tmp_path: Path) -> None:
    trial = write_trial(tmp_path / "run", {"text.prompt": "class"}, 0.5, 0)
    arrays = {
        "memorized": np.array([True, False, True, True]),
        "nearest_index": np.array([1, 0, 1, 2], np.int32),
        "nearest_distance": np.full(4, 1.0),
        "second_distance": np.full(4, 4.0),
        "generated": np.zeros((4, 3, 8, 8), np.uint8),
        "nearest": np.zeros((4, 3, 8, 8), np.uint8),
    }
    prompts = {
        "prompts": np.array(["a picture of church", "a picture of tench"]),
        "prompt_index": np.array([0, 1, 0, 1], np.int32),
        "training_names": np.array(["fish.png", "door.png", "pond.png"]),
    }
    (trial / "checkpoint_000000400000").mkdir()
    np.savez(trial / "checkpoint_000000400000/best.npz", **arrays)
    with pytest.raises(MemosweepError, match="no trial left samples with prompts"):
        prompts_table(Runs.read(tmp_path / "run"))
    np.savez(trial / "checkpoint_000000400000/best.npz", **arrays, **prompts)
    church, tench = prompts_table(Runs.read(tmp_path / "run")).rows
    assert church[1:5] == ["a picture of church", 2, 2, 100.0]
    assert church[-1] == "door.png (2)"
    assert tench[1:5] == ["a picture of tench", 2, 1, 50.0]
    assert tench[-1] == "pond.png (1)"
    assert 0 < tench[5] < 50 < tench[6] < 100
    page = build(Runs.read(tmp_path / "run"), draw=False)
    assert "Replicas by prompt" in page
    rows = gallery(Runs.read(tmp_path / "run"), describe(Runs.read(tmp_path / "run")))
    assert [row.title.rpartition(", ")[2] for row in rows[1:]] == ["'a picture of church'", "'a picture of tench'"]
    assert [row.note.partition(",")[0] for row in rows[1:]] == [
        "2 replicas among 2 samples",
        "1 replica among 2 samples",
    ]
    assert [len(row.pairs) for row in rows] == [4, 2, 2]
    # The first two samples left pictures, a third prompt has the replicas.
    few = {**arrays, "generated": np.zeros((2, 3, 8, 8), np.uint8), "nearest": np.zeros((2, 3, 8, 8), np.uint8)}
    few["memorized"] = np.array([False, True, True, True])
    third = {"prompts": np.array(["church", "tench", "truck"]), "prompt_index": np.array([0, 1, 2, 2], np.int32)}
    np.savez(trial / "checkpoint_000000400000/best.npz", **few, **{**prompts, **third})
    rows = gallery(Runs.read(tmp_path / "run"), describe(Runs.read(tmp_path / "run")))
    assert [(row.title.rpartition(", ")[2], len(row.pairs)) for row in rows[1:]] == [("'tench'", 1), ("'church'", 1)]
    assert rows[1].note.endswith(
        "; 1 prompt with more replicas than some of these left no pictures, which are kept of the first 2 samples"
    )
    assert "left no pictures" not in rows[2].note
    # Names that do not fit the samples are as good as none.
    np.savez(trial / "checkpoint_000000400000/best.npz", **arrays, **{**prompts, "prompt_index": np.array([0, 1])})
    with pytest.raises(MemosweepError, match="no trial left samples with prompts"):
        prompts_table(Runs.read(tmp_path / "run"))
    assert "Replicas by prompt" not in build(Runs.read(tmp_path / "run"), draw=False)


def test_the_settings_of_a_network_are_not_claimed_of_a_pipeline(table3: Path) -> None:
    frame: pd.DataFrame = Runs.read(table3).evaluations
    assert [name for name in frame.columns if name.startswith("model.")] == ["model.architecture"]
