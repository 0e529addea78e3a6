"""Trackers, with their own packages and without a network."""

import importlib.util
import json

import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.tune.loggers import check_loggers
from tests.sweeps.conftest import run_to_its_end, settings

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


@pytest.fixture(scope="module")
def tracked(cluster, tmp_path_factory):
    """The folder of a run of one trial, with each tracker that is installed."""
    storage, environment = tmp_path_factory.mktemp("tracked"), pytest.MonkeyPatch()
    environment.setenv("WANDB_MODE", "offline")
    environment.delenv("MLFLOW_TRACKING_URI", raising=False)
    installed = [name for name in ("wandb", "mlflow") if importlib.util.find_spec(name) is not None]
    place = ["--storage-path", str(storage), "--name", "run"]
    try:
        run_to_its_end("weight_decay", *ONE_TRIAL, *place, "--logger", *installed)
        yield storage / "run"
    finally:
        environment.undo()


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_a_run_for_each_trial(request):
    pytest.importorskip("wandb")
    (record,) = (request.getfixturevalue("tracked") / "wandb").glob("offline-run-*/*.wandb")
    content = record.read_bytes()
    for expected in (b"memorization_ratio", b"training.weight_decay", b"images_seen"):
        assert expected in content


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # of its own libraries, among each other
def test_mlflow_has_the_reports_of_each_trial_by_images_seen(request):
    mlflow = pytest.importorskip("mlflow")
    folder = request.getfixturevalue("tracked")
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("run")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["training.weight_decay"] == "0.0"
    (results,) = folder.glob("*/result.json")
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    history = client.get_metric_history(run.info.run_id, "memorization_ratio")
    assert [(point.step, point.value) for point in history] == [
        (row["images_seen"], row["memorization_ratio"]) for row in rows
    ]
