"""Trials that diverged or failed: their status, and that no ratio of theirs counts anywhere."""

import json
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.commands.main import main
from analysis.results.records import parse_trial
from analysis.runs.final import best, failed, finished, is_finished, left_out
from analysis.runs.runs import Runs

CONFIG = {"data.size": 10, "training.images": 200, "model.width": 8, "seed": 0}


def line(images: int, ratio: Any = 0.5, config: dict[str, Any] | None = None, **more: Any) -> str:
    return json.dumps({"epoch": images / 10, "images_seen": images, "loss": 0.1, "memorization_ratio": ratio,
                       "num_samples": 100, "done": False, "config": config or CONFIG, **more})  # fmt: skip


def failure(kind: str = "diverged", images: int = 150) -> str:
    return json.dumps({"failure": kind, "cause": "loss is nan, learning rate 1e+30", "images_seen": images,
                       "done": True, "config": CONFIG})  # fmt: skip


def write(folder: Path, *trials: list[str]) -> Path:
    for index, lines in enumerate(trials):
        inner = folder / f"width_0a1b2_{index:05d}"
        inner.mkdir(parents=True)
        (inner / "result.json").write_text("\n".join(lines) + "\n")
    return folder


GOOD = [line(100, 0.2), line(200, 0.6)]


def test_a_trial_that_ends_with_a_failure_has_its_status_and_no_ratio(tmp_path: Path) -> None:
    frame = analysis.load(write(tmp_path / "run", GOOD, [line(100, 1.0), failure()], [failure("failed", 0)]))
    assert frame.drop_duplicates("trial_id")["status"].tolist() == ["terminated", "diverged", "error"]
    assert frame["memorization_ratio"].dropna().tolist() == [0.2, 0.6]
    assert frame["best_memorization_ratio"].dropna().tolist() == [0.2, 0.6]
    assert frame["cost_images"].tolist() == [200, 200, 150, 150, 0]
    assert best(frame)["trial_id"].tolist() == ["0a1b2_00000"]
    assert set(finished(frame)["trial_id"]) == {"0a1b2_00000"}
    assert left_out(frame) == [
        "left out: 1 of 3 trials diverged: 0a1b2_00001 (loss is nan, learning rate 1e+30 at 150 images)",
        "left out: 1 of 3 trials failed: 0a1b2_00002 (loss is nan, learning rate 1e+30 at 0 images)",
    ]


def diverged(images: int, why: str = "the loss is nan") -> str:
    cause = f"diverged at {images:,} images seen: {why} (learning rate 1e+30); lower training.learning_rate"
    return json.dumps({"failure": "diverged", "cause": cause, "images_seen": images, "done": True, "config": CONFIG})


def test_causes_that_differ_in_numbers_are_one_and_say_once_where(tmp_path: Path) -> None:
    frame = analysis.load(write(tmp_path / "run", GOOD, [diverged(32)], [diverged(48)]))
    assert failed(frame) == [
        "2 of 3 trials diverged: 0a1b2_00001, 0a1b2_00002 (the first at 32 images seen: the loss is nan "
        "(learning rate 1e+30); lower training.learning_rate)"
    ]


def test_many_trials_and_causes_are_counted(tmp_path: Path) -> None:
    trials = [[diverged(32)] for _ in range(5)] + [[diverged(32, why)] for why in ("a", "b", "c", "d")]
    (line,) = failed(analysis.load(write(tmp_path / "run", GOOD, *trials)))
    assert line.startswith("9 of 10 trials diverged: 0a1b2_00001, 0a1b2_00002, 0a1b2_00003 and 2 more (at 32 images")
    assert line.endswith("; and 2 further causes")
    assert line.count("at 32 images") == 3


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_an_older_trial_whose_loss_is_not_finite_diverged(tmp_path: Path, loss: float) -> None:
    bad = [line(100, 0.1), line(150, 1.0, loss=loss), line(200, 1.0, loss=loss, done=True)]
    frame = analysis.load(write(tmp_path / "run", GOOD, bad))
    assert frame.drop_duplicates("trial_id")["status"].tolist() == ["terminated", "diverged"]
    assert failed(frame) == [f"1 of 2 trials diverged: 0a1b2_00001 (loss {loss:g} at 150 images)"]
    assert len(Runs.of(frame).finished.best) == 1
    pooled = analysis.load(tmp_path / "run")  # from the cache
    assert pooled["status"].tolist() == frame["status"].tolist()
    assert failed(pooled) == failed(frame)


def test_the_optimum_has_no_loss_by_design(tmp_path: Path) -> None:
    config = {**CONFIG, "model.architecture": "optimum"}
    runs = Runs.read(write(tmp_path / "run", [line(0, 1.0, config, loss=float("nan"), done=True)]))
    frame = runs.evaluations
    assert frame["status"].tolist() == ["terminated"]
    assert is_finished(frame).all()
    assert frame["memorization_ratio"].tolist() == [1.0]
    assert runs.skipped == ()


def test_a_trial_that_was_taken_up_again_has_not_failed(tmp_path: Path) -> None:
    again = [line(100, 0.2), failure("failed", 120), line(200, 0.7, done=True)]
    frame = analysis.load(write(tmp_path / "run", again))
    assert frame["memorization_ratio"].tolist() == [0.2, 0.7]
    assert set(frame["status"]) == {"terminated"}
    # What diverged and was then repeated with other numbers has not diverged either.
    lines = "\n".join([line(100, 0.2), line(200, 1.0, loss=float("nan")), line(200, 0.5)])
    assert parse_trial("x", lines.encode()).failure == ""


def test_a_failure_of_an_unknown_kind_is_one(tmp_path: Path) -> None:
    records = parse_trial("x", "\n".join([line(100), failure("exploded")]).encode())
    assert (records.failure, records.odd, records.finished) == ("failed", ["failure"], False)


@pytest.mark.parametrize(
    "command",
    [["table"], ["emm"], ["importance"], ["report", "--no-figures", "--out", "OUT"], ["figures", "--out", "OUT"],
     ["predict", "--set", "data.size=5"]],
)  # fmt: skip
def test_where_all_trials_diverged_every_command_says_so(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "run", [line(100, 1.0), failure()], [line(200, 1.0, loss=float("nan"))])
    name, *options = [str(tmp_path / "out") if word == "OUT" else word for word in command]
    assert main([name, str(folder), *options]) == 2
    said = capsys.readouterr().err
    assert "no trial has reported a memorization ratio: 2 of 2 trials diverged: 0a1b2_00000 (loss is nan" in said


def test_tables_comparisons_and_reports_count_what_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "one", GOOD, [line(100, 1.0), failure()])
    other = write(tmp_path / "other", GOOD)
    assert main(["table", str(one)]) == 0
    out, err = capsys.readouterr()
    assert "60.00" in out
    assert "100.00" not in out
    assert "(1 diverged, 1 terminated)" in out
    assert err.count("1 of 2 trials diverged") == 1
    assert main(["compare", str(one), str(other)]) == 0
    out = capsys.readouterr().out
    assert "Left out of A: 1 of 2 trials diverged: 0a1b2_00001" in out
    assert "unfinished" not in out
    page = tmp_path / "report.html"
    assert main(["report", str(one), "--out", str(page), "--no-figures"]) == 0
    text = page.read_text()
    assert "1 of 2 trials diverged" in text
    assert "100.0" not in text.split("<h2")[1]
