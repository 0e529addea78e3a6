from pathlib import Path

import pandas as pd
import pytest

from analysis.commands.main import main
from analysis.inference.replication import replication_frame
from analysis.runs.runs import Runs
from tests.fakes import make_table


def test_trials_with_samples_have_their_coverage_and_concentration(real: pd.DataFrame) -> None:
    data = replication_frame(Runs.of(real))
    assert data.columns.tolist() == [
        "trial_id", "data.size", "training.weight_decay", "memorization_ratio", "replicas", "coverage",
        "coverage_if_uniform", "gini", "top_10_percent", "most_replicas",
    ]  # fmt: skip
    assert data["coverage"].tolist() == [100, 100]  # the third has not finished
    assert data["memorization_ratio"].max() == pytest.approx(95.703125)


def test_reported_measures_stand_there_without_samples() -> None:
    frame = make_table({(64, 1000): 0.9, (128, 1000): 0.5})
    assert replication_frame(Runs.of(frame)).empty
    measured = frame.assign(coverage=0.25, calibrated_ratio=0.5, near_duplicates=3)
    data = replication_frame(Runs.of(measured))
    assert data["model.width"].tolist() == [64, 128]
    assert data[["coverage", "calibrated_ratio", "near_duplicates"]].iloc[0].tolist() == [25, 50, 3]


def test_the_command_prints_the_table(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(sweep), "--table", "coverage", "--format", "csv"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("Trial,|D|,Weight decay,Ratio (%),Replicas,Coverage (%)")
    assert len(list(filter(None, rows))) == 2  # the third has not finished
