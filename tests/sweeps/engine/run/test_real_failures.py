"""Trials that fail for good, searches that end early and awkward places, through Ray Tune."""

import json

import numpy as np
import pandas as pd
from PIL import Image

from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.manifest import Limits, describe_run
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions
from sweeps.engine.run import starts
from sweeps.weight_decay import FACTOR as WEIGHT_DECAY
from tests.sweeps.conftest import settings

ONE = ["--preset", "laptop", "--sizes", "10"]


def last_rows(folder):
    """The last report of each trial."""
    return [json.loads(file.read_text().splitlines()[-1]) for file in sorted(folder.glob("*/result.json"))]


def write_images(folder, count=12):
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{index:02d}.png")


def test_a_training_that_diverges_is_counted_and_has_no_ratio(cluster, script, tmp_path):
    rates = ["--set", "training.learning_rate=choice(1e-2,1e30)", "--search", "optuna", "--direction", "min"]
    code, output, errors = script(
        "weight_decay", *ONE, *settings(training__warmup_epochs=0), *rates, "--values", "0", "--trials", "4",
        "--storage-path", str(tmp_path), "--name", "run",
    )  # fmt: skip
    assert code == 1, errors + output
    rows = {row["config"]["training.learning_rate"]: row for row in last_rows(tmp_path / "run")}
    assert set(rows) == {1e-2, 1e30}
    assert rows[1e30]["failure"] == "diverged"
    assert not any("memorization" in name for name in rows[1e30])
    assert "failure" not in rows[1e-2]
    assert "diverged: " in output
    assert "1 of 2 trials diverged: diverged at" in output
    assert "training.learning_rate = 0.01" in output
    assert "ended after 2 of 4 trials: all 2 settings of the search space were tried" in output
    # What failed for good is not trained again.
    code, output, _ = script("weight_decay", "--resume", "--storage-path", str(tmp_path), "--name", "run")
    assert (code, "1 of 2 trials diverged" in output) == (1, True)
    assert len(list((tmp_path / "run").glob("*/result.json"))) == 2


def test_an_emm_search_whose_trainings_diverge_ends_and_says_so(cluster, script, tmp_path):
    code, output, errors = script(
        "emm", "--factor", "width", "--values", "8", "--preset", "laptop", "--min-size", "4", "--max-size", "5",
        *settings(without="model.width", training__warmup_epochs=0, training__learning_rate=1e30),
        "--storage-path", str(tmp_path), "--name", "run",
    )  # fmt: skip
    assert code == 1, errors + output
    assert "Traceback" not in errors + output
    assert "EMM below" not in output
    assert ": no EMM, since no training of it has ended with a ratio\n" in output
    assert "emm.csv" in output
    assert not list((tmp_path / "run").glob("*.png"))
    trained = [(row["config"]["data.size"], row["config"]["seed"]) for row in last_rows(tmp_path / "run")]
    assert len(trained) == len(set(trained))
    assert f"{len(trained)} of {len(trained)} trials diverged, the first: " in output


def test_an_error_that_cannot_change_is_not_tried_again(cluster, script, tmp_path, monkeypatch):
    # As on a cluster whose workers lack the driver's files.
    monkeypatch.setattr(starts, "check_data", lambda trials: {})
    code, output, _ = script(
        "weight_decay", *ONE, "--values", "0", *settings(data__dataset=tmp_path / "gone.zip"),
        "--storage-path", str(tmp_path), "--name", "run",
    )  # fmt: skip
    assert code == 1
    assert output.count("gone.zip") == 2  # once as it happens, once at the end
    (row,) = last_rows(tmp_path / "run")
    assert (row["failure"], row["training_iteration"]) == ("failed", 1)
    assert "gone.zip" in row["cause"]
    (log,) = (tmp_path / "run").glob("*/error.txt")
    assert "gone.zip" in log.read_text()
    assert str(log) in output


def test_relative_paths_and_places_that_look_like_patterns(cluster, script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "good [1]")
    storage = "[emm] é#50%20"
    places = ["--storage-path", storage]
    common = ["--factor", "width", "--values", "8", "--preset", "laptop", "--min-size", "2", "--max-size", "3"]
    one = settings(without="model.width", data__dataset="good [1]", evaluation__count=1)
    code, output, errors = script("emm", *common, *one, *places)
    assert code == 0, errors + output
    (run,) = (tmp_path / storage).iterdir()
    assert pd.read_csv(run / "emm.csv")["trainings"].item() >= 1
    assert json.loads((run / "sweep.json").read_text())["plan"]["trials"][0]["data.dataset"] == str(
        tmp_path / "good [1]"
    )
    code, output, errors = script("emm", "--factor", "width", "--resume", *places)
    assert code == 0, errors + output


def test_a_search_over_paths_names_its_folders_safely(cluster, script, tmp_path):
    for name in ("a.b", "c d"):
        write_images(tmp_path / name)
    code, output, errors = script(
        "weight_decay", *ONE, "--search", "optuna", "--values", "0", "--trials", "5", *settings(evaluation__count=1),
        "--set", f"data.dataset=choice({tmp_path / 'a.b'},{tmp_path / 'c d'})",
        "--storage-path", str(tmp_path / "results"), "--name", "run",
    )  # fmt: skip
    assert code == 0, errors + output
    searched = {row["config"]["data.dataset"] for row in last_rows(tmp_path / "results/run")}
    assert searched == {str(tmp_path / "a.b"), str(tmp_path / "c d")}


def test_a_damaged_manifest_is_refused_in_one_line(script, tmp_path):
    run = ["--storage-path", str(tmp_path), "--name", "run"]
    plan = optuna_plan(WEIGHT_DECAY, Selection("laptop", values=[0, 0.1], sizes=[10]), {}, OptunaOptions())
    describe_run(plan, {"cpu": 1.0}, Limits()).write(str(tmp_path / "run"))
    file = tmp_path / "run/sweep.json"
    file.write_bytes(file.read_bytes().replace(b'"trials": [', b'"trials": [3,'))
    code, _, errors = script("weight_decay", "--resume", *run)
    assert (code, errors.count("\n")) == (2, 1), errors
