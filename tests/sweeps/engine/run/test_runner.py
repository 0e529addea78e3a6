"""Real sweeps of two trials through Ray Tune."""

import contextlib
import json
import shutil
import signal

import pandas as pd
import psutil
import pytest

from sweeps.engine.plans.names import CHECKPOINTS_KEPT
from tests.sweeps.conftest import TWO_AT_ONCE, TWO_TRIALS, evaluations, kill, run_to_its_end, settings, wait_for

NUMBERS = ["training.weight_decay", "images_seen", "loss", "memorization_ratio", "knn_distance"]


def numbers(folder):
    table = pd.read_parquet(folder / "table.parquet")
    return table.sort_values(NUMBERS[:2], ignore_index=True)[NUMBERS]


def test_a_sweep_leaves_everything_that_it_promises(finished_run):
    folder, output = finished_run
    assert "preset laptop, as requested" in output
    assert output.splitlines()[-1].startswith(f"results in {folder}")
    table = pd.read_csv(folder / "table.csv")
    assert len(table) == 2 * 3
    assert set(table["training.weight_decay"]) == {0, 1e-2}
    assert (table["data.size"] == 10).all()
    assert {"epoch", "images_seen", "memorization_ratio_low", "best_memorization_ratio", "seconds"} <= set(table)
    parquet = pd.read_parquet(folder / "table.parquet")
    assert list(parquet.columns) == list(table.columns)
    pd.testing.assert_frame_equal(table[NUMBERS].astype(float), parquet[NUMBERS].astype(float))
    for name in ("figure.png", "figure.pdf", "gallery.png"):
        assert (folder / name).stat().st_size > 1000
    for trial in folder.glob("weight_decay=*"):
        assert list(trial.glob("events.out.tfevents*"))
        checkpoints = list(trial.glob("checkpoint_*"))
        assert len(checkpoints) == CHECKPOINTS_KEPT
        assert all((checkpoint / "checkpoint.pt").exists() for checkpoint in checkpoints)
    plan = json.loads((folder / "sweep.json").read_text())["plan"]
    assert (plan["factor"]["name"], plan["varied"]) == ("weight_decay", ["training.weight_decay"])


def test_an_existing_run_is_refused_and_a_finished_one_can_be_resumed(finished_run, script, tmp_path):
    arguments = [*TWO_TRIALS, *settings(), "--storage-path", str(tmp_path), "--name", "run"]
    shutil.copytree(finished_run[0], tmp_path / "run")
    before = numbers(tmp_path / "run")
    code, _, errors = script("weight_decay", *arguments)
    assert code == 2
    assert "--resume finishes it" in errors
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/notes.txt").touch()
    code, _, errors = script("weight_decay", *arguments[:-1], "foreign")
    assert (code, "is not the run of a sweep: give another --name" in errors) == (2, True)
    (tmp_path / "run/table.parquet").unlink()
    code, output, _ = script("weight_decay", "--resume", "--storage-path", str(tmp_path), "--name", "run")
    assert code == 0
    assert "results in" in output
    pd.testing.assert_frame_equal(numbers(tmp_path / "run"), before)
    stored = json.loads((tmp_path / "run/sweep.json").read_text())
    assert stored["later_starts"] == []


SLOW = settings(training__images=1920, evaluation__count=6)


def kill_trial(processes):
    """Kill the process of a trial; returns whether there was one."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if any("ray::" in part and "train" in part.lower() for part in process.cmdline()):
                process.kill()
                return True
    return False


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    """The numbers of a run that nothing disturbs."""
    storage = tmp_path_factory.mktemp("whole")
    run_to_its_end("weight_decay", *TWO_TRIALS, *SLOW, "--storage-path", str(storage), "--name", "run")
    expected = numbers(storage / "run")
    assert len(expected) == 2 * 6
    return expected


def test_a_killed_trial_goes_on_to_the_same_numbers(start_script, whole, tmp_path):
    # Tune starts it again from its last checkpoint.
    place = ["--storage-path", str(tmp_path), "--name", "run"]
    process = start_script("weight_decay", *TWO_TRIALS, *SLOW, *TWO_AT_ONCE, *place)
    wait_for(lambda: evaluations(tmp_path / "run") >= 2)
    # Between two calls of its trainable a process has another name for a moment.
    wait_for(lambda: kill_trial(psutil.Process().children(recursive=True)), seconds=30)
    assert process.wait(timeout=180) == 0
    pd.testing.assert_frame_equal(numbers(tmp_path / "run"), whole)


def test_ctrl_c_says_how_to_go_on_to_the_same_numbers(script, start_script, whole, tmp_path):
    arguments = [*TWO_TRIALS, *SLOW, "--storage-path", str(tmp_path), "--name", "run"]
    process = start_script("weight_decay", *arguments)
    wait_for(lambda: evaluations(tmp_path / "run") >= 1)
    code, _, errors = script("weight_decay", "--resume", "--storage-path", str(tmp_path))
    assert (code, "is being run by another process" in errors) == (2, True)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"--resume --name run --storage-path {tmp_path}" in output
    # Without a name it is the latest run of the factor, whatever it is called.
    assert script("weight_decay", "--resume", "--storage-path", str(tmp_path))[0] == 0
    pd.testing.assert_frame_equal(numbers(tmp_path / "run"), whole)
    stored = json.loads((tmp_path / "run/sweep.json").read_text())
    assert [start["command"][2] for start in stored["later_starts"]] == ["--resume"]
    assert stored["later_starts"][0]["started"] >= stored["started"]


def test_a_union_of_figures_runs_each_trial_once(cluster, script, tmp_path):
    code, output, errors = script(
        "optimum", "--preset", "laptop", "--sizes", "20", *settings(), "--storage-path", str(tmp_path), "--name", "run"
    )
    assert code == 0, errors + output
    table = pd.read_csv(tmp_path / "run/table.csv")
    assert (table["memorization_ratio"] == 1).all()
    assert sorted(zip(table["evaluation.sampler"], table["data.labels"], strict=True)) == [
        ("ode", "none"), ("ode", "true"), ("sde", "none"), ("sde", "true"),
    ]  # fmt: skip


MASKS = ["1,1,1,1", "1,0,0,0"]


def test_a_union_with_skip_masks_runs_and_survives_a_killed_driver(cluster, script, start_script, tmp_path):
    common = ["--storage-path", str(tmp_path), "--name", "run"]
    short = settings(training__images=640, evaluation__count=4)
    process = start_script("skip_connections", "--preset", "laptop", "--values", *MASKS, *short, *common)
    wait_for(lambda: evaluations(tmp_path / "run") >= 2)
    kill(process)
    code, output, errors = script("skip_connections", "--resume", *common)
    assert code == 0, errors + output
    table = pd.read_csv(tmp_path / "run/table.csv")
    assert (table.groupby(["model.architecture", "model.skip_connections"]).size() == 4).all()
    assert set(zip(table["model.architecture"], table["model.skip_connections"], strict=True)) == {
        (architecture, mask) for architecture in ("ddpmpp", "ncsnpp") for mask in MASKS
    }
