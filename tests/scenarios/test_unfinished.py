"""A report of trials that have no final ratio."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.commands.main import main
from analysis.errors import AnalysisError
from analysis.report import build
from analysis.runs.runs import Runs
from analysis.tables.trials import trials_table
from tests.analysis.commands.test_emm import stop
from tests.analysis.planted import SIZES, frame, grid, write_sweep


def stopped(data: pd.DataFrame, *trials: str) -> pd.DataFrame:
    """The table with some trials stopped as they will not reach a target, before they had a replica."""
    there = data["trial_id"].isin(trials)
    return data.assign(
        verdict=pd.Series("full", index=data.index).mask(there, "will_not_reach"),
        memorization_ratio=data["memorization_ratio"].mask(there, 0.0),
    )


def test_stopped_trials_are_not_drawn_where_nothing_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    data = stopped(frame(grid(model__width=(64, 128), data__size=SIZES)), "p_00000").assign(status="running")
    drawn: list[Runs] = []
    monkeypatch.setattr("analysis.report.page.figure_blocks", lambda runs, _: drawn.append(runs) or ([], []))
    html = build(Runs.of(data), resamples=2)
    assert set(drawn[0].best["trial_id"]) == {"p_00001", "p_00002", "p_00003"}
    assert "No trial has finished yet" in html
    assert "Left out: 1 of 4 trials were stopped early" in html


def test_a_finished_sweep_has_no_such_note() -> None:
    html = build(Runs.of(frame(grid(data__size=SIZES))), draw=False)
    assert "No trial has finished yet" not in html
    assert "Left out" not in html


def test_nothing_is_left_where_all_were_stopped_below_their_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = frame(grid(data__size=SIZES))
    with pytest.raises(AnalysisError, match="no final ratio: all trials were stopped early"):
        build(Runs.of(stopped(data, *data["trial_id"])))
    folder = write_sweep(tmp_path / "stopped", grid(data__size=SIZES))
    for trial in folder.glob("width=*"):
        stop(trial, "will_not_reach", best=0)
    target = tmp_path / "report.html"
    assert main(["report", str(folder), "--out", str(target)]) == 2
    error = capsys.readouterr().err.splitlines()
    assert [line for line in error if "no final ratio" in line] == error[-1:]
    assert not target.exists()


def test_the_trial_table_says_which_trials_were_stopped() -> None:
    data = stopped(frame(grid(data__size=SIZES)), "p_00000")
    table = trials_table(Runs.of(data))
    assert [row[table.header.index("Status")] for row in table.texts] == [
        "stopped: will not reach target",
        "terminated",
    ]
