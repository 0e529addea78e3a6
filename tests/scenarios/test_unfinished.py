"""A report of trials that have no final ratio, or a lower bound of it."""

from pathlib import Path

import pytest

from analysis.commands.main import main
from analysis.report import build
from analysis.runs.runs import Runs
from analysis.tables.trials import trials_table
from memo_core.errors import MemosweepError
from tests.fakes import SIZES, frame, grid, write_sweep


def test_diverged_trials_are_not_drawn_where_nothing_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    data = frame(grid(model__width=(64, 128), data__size=SIZES)).assign(status="running")
    data["failure"] = (data["trial_id"] == "p_00000").map({True: "diverged", False: None})
    drawn: list[Runs] = []
    monkeypatch.setattr("analysis.report.page.figure_blocks", lambda runs, _: drawn.append(runs) or ({"": []}, []))
    html = build(Runs.of(data), resamples=2)
    assert set(drawn[0].best["trial_id"]) == {"p_00001", "p_00002", "p_00003"}
    assert "No trial has finished yet" in html
    assert "Left out: 1 of 4 trials diverged" in html


def test_a_finished_sweep_has_no_such_note() -> None:
    html = build(Runs.of(frame(grid(data__size=SIZES))), draw=False)
    assert "No trial has finished yet" not in html
    assert "Left out" not in html


def test_nothing_is_left_where_all_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MemosweepError, match="no final ratio: all trials diverged or failed"):
        build(Runs.of(frame(grid(data__size=SIZES)).assign(failure="diverged")))
    folder = write_sweep(tmp_path / "diverged", grid(data__size=SIZES))
    for file in folder.glob("width=*/result.json"):
        file.write_text(file.read_text() + '{"failure": "diverged", "cause": "the loss is nan"}\n')
    target = tmp_path / "report.html"
    assert main(["report", str(folder), "--out", str(target)]) == 2
    assert "2 of 2 trials diverged" in capsys.readouterr().err.splitlines()[-1]
    assert not target.exists()


def test_the_trial_table_says_which_trials_were_stopped() -> None:
    data = frame(grid(data__size=SIZES))
    table = trials_table(Runs.of(data.assign(stopped_early=data["trial_id"] == "p_00000")))
    assert [row[table.header.index("Status")] for row in table.texts] == [
        "stopped early above the target",
        "terminated",
    ]
