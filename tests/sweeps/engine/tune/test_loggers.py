"""Trackers, with their own packages and without a network."""

import importlib.util
import json

import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.tune.loggers import check_loggers
from tests.sweeps.conftest import settings

ONE_TRIAL = ("--preset", "laptop", "--values", "0", "--sizes", "6", *settings())


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named_with_its_command(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MemosweepError, match=rf"--logger {name}: .* pip install 'memosweep\[{name}\]'"):
        check_loggers([name])


def test_without_an_account_nothing_starts(monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(MemosweepError, match="WANDB_MODE=offline"):
        check_loggers(["wandb"])


@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_a_run_for_each_trial(cluster, script, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    code, output, errors = script(
        "weight_decay", *ONE_TRIAL, "--storage-path", str(tmp_path), "--name", "run", "--logger", "wandb"
    )
    assert code == 0, output + errors
    (record,) = (tmp_path / "run/wandb").glob("offline-run-*/*.wandb")
    content = record.read_bytes()
    for expected in (b"memorization_ratio", b"training.weight_decay", b"images_seen"):
        assert expected in content


@pytest.mark.filterwarnings("ignore")  # of its own libraries, among each other
def test_mlflow_has_the_reports_of_each_trial_by_images_seen(cluster, script, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code, output, errors = script(
        "weight_decay", *ONE_TRIAL, "--storage-path", str(tmp_path), "--name", "run", "--logger", "mlflow"
    )
    assert code == 0, output + errors
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/run/mlflow.db")
    experiment = client.get_experiment_by_name("run")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["training.weight_decay"] == "0.0"
    (results,) = (tmp_path / "run").glob("*/result.json")
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    history = client.get_metric_history(run.info.run_id, "memorization_ratio")
    assert [(point.step, point.value) for point in history] == [
        (row["images_seen"], row["memorization_ratio"]) for row in rows
    ]
