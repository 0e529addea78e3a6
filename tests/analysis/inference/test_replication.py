import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.commands.main import main
from analysis.inference.replication import (
    COVERAGE_COLUMNS,
    concentration,
    coverage_table,
    most_replicated,
    replica_counts,
    replication_frame,
)
from analysis.runs.runs import Runs
from memo_core.measure import Coverage
from tests.fakes import make_table


def test_only_memorized_samples_count() -> None:
    samples = {"memorized": np.array([True, False, True, True]), "nearest_index": np.array([2, 1, 0, 2])}
    assert replica_counts(samples, 4).tolist() == [1, 0, 2, 0]
    with pytest.raises(ValueError, match="2 lies beyond 2 training images"):
        replica_counts(samples, 2)


@pytest.mark.parametrize("counts", [[0, 0, 0, 8], [2, 2, 2, 2], [5, 0, 1, 3, 0, 0, 7], list(range(300)), [0, 0]])
def test_the_numbers_are_those_that_a_measurement_reports(counts: list[int]) -> None:
    mine, theirs = concentration(np.array(counts)), Coverage(torch.tensor(counts))
    expected = [theirs.replicas, theirs.fraction, theirs.uniform_fraction, theirs.gini, theirs.top_share(0.01),
                theirs.top_share(0.1), max(counts)]  # fmt: skip
    np.testing.assert_allclose(list(vars(mine).values()), expected, rtol=1e-12)


def test_without_replicas_nothing_is_concentrated() -> None:
    assert math.isnan(concentration(np.zeros(5, int)).gini)
    assert concentration(np.zeros(5, int)).coverage == 0


def test_the_most_replicated_images_come_first() -> None:
    table = most_replicated(np.array([0, 3, 1, 6]), most=3)
    assert table["index"].tolist() == [3, 1, 2]
    assert table["share"].tolist() == [0.6, 0.3, 0.1]
    assert len(most_replicated(np.array([0, 3, 1, 6]))) == 3


def test_the_table_of_a_real_sweep(sweep: Path) -> None:
    table = coverage_table(Runs.read(sweep))
    assert table["data.size"].tolist() == [10, 20], "the third has not finished"
    assert table["samples"].tolist() == [256] * 2
    ratios = table["replicas"] / table["samples"]
    np.testing.assert_allclose(ratios, table["memorization_ratio"])
    # Models of 10 images replicate all of them.
    assert table["coverage"].tolist() == [1, 1]
    assert table["gini"].between(0.05, 0.5).all()
    assert set(COVERAGE_COLUMNS) <= set(table.columns)


def test_samples_of_another_set_or_half_written_are_left_out(sweep: Path) -> None:
    trials = sorted(sweep.glob("*/checkpoint_*/best.npz"))
    content = io.BytesIO()
    np.savez(content, memorized=np.ones(3, bool), nearest_index=np.array([1, 2, 500]))
    trials[0].write_bytes(content.getvalue())
    trials[1].write_bytes(trials[1].read_bytes()[:100])
    assert len(coverage_table(Runs.read(sweep))) == 1
    trials[2].unlink()
    empty = coverage_table(Runs.read(sweep))
    assert len(empty) == 0
    assert set(COVERAGE_COLUMNS) <= set(empty.columns)


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
