"""What is lost or damaged of a run between two starts, and faults while it runs, each really caused."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.sweeps.conftest import TWO_AT_ONCE, TWO_TRIALS, evaluations, settings, wait_for

SHORT = settings()
SLOW = settings(training__images=6400, evaluation__count=20)
KEYS = ["training.weight_decay", "data.size", "seed", "images_seen"]
NUMBERS = [*KEYS, "loss", "memorization_ratio", "best_memorization_ratio", "knn_distance"]


def numbers(folder):
    table = pd.read_parquet(folder / "table.parquet")
    return table.sort_values(KEYS, ignore_index=True)[NUMBERS]


@pytest.fixture
def finished(finished_run):
    """A finished run of two trials, of the settings `SHORT`."""
    return finished_run[0]


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def resume(script):
    """Resume a run; returns its output and its numbers."""

    def go_on(run, *options):
        code, output, errors = script(
            "weight_decay", "--resume", "--storage-path", str(run.parent), "--name", run.name, *options
        )
        assert code == 0, output + errors
        return output, numbers(run)

    return go_on


def trials(run):
    return sorted(run.glob("weight_decay=*"))


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def newest(trial):
    return sorted(trial.glob("checkpoint_*"))[-1]


def times(run):
    """When the checkpoints were written: unchanged where nothing was trained."""
    return {path: path.stat().st_mtime_ns for path in run.glob("*/checkpoint_*/checkpoint.pt")}


def test_results_that_get_lost_are_written_again_without_training(finished, run, resume):
    one, two = trials(run)
    (one / "result.json").write_text("")
    lines = (two / "result.json").read_text().splitlines(keepends=True)
    (two / "result.json").write_text("".join(lines[:1]) + lines[1][:40])
    before = times(run)
    output, after = resume(run)
    pd.testing.assert_frame_equal(after, numbers(finished))
    assert times(run) == before
    assert len(trials(run)) == 2
    assert "2/2" in output


def test_of_damaged_checkpoints_the_one_before_is_used_and_it_is_said(finished, run, resume):
    one, two = trials(run)
    for trial in (one, two):
        (trial / "result.json").unlink()
    flip(newest(one) / "checkpoint.pt")
    file = newest(two) / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    output, after = resume(run)
    pd.testing.assert_frame_equal(after, numbers(finished))
    assert output.count(f"{newest(one).name}: damaged (") == 2
    assert output.count("going on from checkpoint_000000000064") == 2


def test_a_run_without_its_journal_and_with_strange_files_loses_nothing_and_runs_no_code(
    finished, run, resume, tmp_path
):
    class Stranger:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    shutil.rmtree(trials(run)[0])
    (run / "trials.jsonl").unlink()
    for name in ("tuner.pkl", "searcher-state-2026.pkl", "search_gen_state-2026.json", "experiment_state-2026.json"):
        (run / name).write_bytes(pickle.dumps(Stranger()))
    before = times(run)
    output, after = resume(run)
    pd.testing.assert_frame_equal(after, numbers(finished))
    assert before.items() <= times(run).items()
    assert "done already: 1" in output
    assert not (tmp_path / "executed").exists()


def test_a_trial_that_failed_goes_on_from_its_checkpoint(finished, run, resume):
    one, _ = trials(run)
    lines = (one / "result.json").read_text().splitlines(keepends=True)
    failure = {
        **json.loads(lines[-1]),
        "failure": "failed",
        "cause": "no such file",
        "training_iteration": 2,
        "done": True,
    }
    (one / "result.json").write_text(lines[0] + json.dumps(failure) + "\n")
    shutil.rmtree(newest(one))
    kept = times(run)
    _, after = resume(run)
    pd.testing.assert_frame_equal(after, numbers(finished))
    assert kept.items() <= times(run).items()
    assert len(trials(run)) == 2


def test_a_further_value_and_a_longer_budget_train_what_is_missing(cluster, script, finished, run, tmp_path):
    place = ["--storage-path", str(run.parent)]
    before = times(run)
    code, output, errors = script("weight_decay", "--extend", "run", "--values", "0.1", *place)
    assert code == 0, output + errors
    assert before.items() <= times(run).items()
    after = numbers(run)
    assert len(after) == 3 * 3
    pd.testing.assert_frame_equal(after[after[KEYS[0]] < 0.1], numbers(finished))
    # Twice the budget: the evaluations at half of it were made already.
    longer = ["--set", "training.images=192"]
    code, output, errors = script("weight_decay", "--extend", "run", *longer, *place)
    assert code == 0, output + errors
    at_once = ["--values", "0", "1e-2", "0.1", "--sizes", "10", "--preset", "laptop", *SHORT, *longer]
    assert script("weight_decay", *at_once, *place, "--name", "long")[0] == 0
    pd.testing.assert_frame_equal(numbers(run), numbers(tmp_path / "long"))
    assert len(trials(run)) == 3


def test_equal_trials_of_another_run_are_taken_and_marked(cluster, script, finished, tmp_path):
    options = ["--values", "0", "0.1", "--sizes", "10", "--preset", "laptop", *SHORT, "--storage-path", str(tmp_path)]
    code, output, errors = script("weight_decay", *options, "--name", "new", "--reuse", str(finished))
    assert code == 0, output + errors
    assert "1 trial was taken from another run: run" in output
    table = pd.read_parquet(tmp_path / "new/table.parquet")
    assert set(table.loc[table["training.weight_decay"] == 0, "reused_from"]) == {"run"}
    assert table.loc[table["training.weight_decay"] == 0.1, "reused_from"].isna().all()
    expected, found = numbers(finished), numbers(tmp_path / "new")
    pd.testing.assert_frame_equal(found[found[KEYS[0]] == 0], expected[expected[KEYS[0]] == 0])
    assert len(list((tmp_path / "new").glob("weight_decay=0_*/checkpoint_*/best.npz"))) == 2
    code, _, errors = script("weight_decay", *options, "--name", "other", "--reuse", str(tmp_path / "none"))
    assert (code, "holds no sweep.json" in errors) == (2, True)


def test_other_images_behind_the_same_path_are_refused(cluster, script, tmp_path):
    images = tmp_path / "images"
    images.mkdir()

    def write(seed):
        generator = np.random.default_rng(seed)
        for index in range(12):
            Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(images / f"{index:02d}.png")

    write(0)
    place = ["--storage-path", str(tmp_path), "--name", "run"]
    code, output, errors = script("weight_decay", *TWO_TRIALS, *settings(data__dataset=images), *place)
    assert code == 0, output + errors
    # Of a run in which nothing is left to train, the images are not looked at.
    next((tmp_path / "run").glob("*/result.json")).unlink()
    write(1)
    code, _, errors = script("weight_decay", "--resume", *place)
    assert (code, errors.count("\n")) == (2, 1)
    assert "the images are not those of the run's start" in errors


def test_auto_resume_starts_goes_on_and_refuses_other_options(cluster, script, start_script, finished, tmp_path):
    line = [*TWO_TRIALS, *SHORT, "--storage-path", str(tmp_path), "--name", "run", "--auto-resume"]
    process = start_script("weight_decay", *line)
    wait_for(lambda: evaluations(tmp_path / "run") >= 1)
    process.kill()
    process.wait()
    code, output, errors = script("weight_decay", *line)
    assert code == 0, output + errors
    assert "resuming" in output
    pd.testing.assert_frame_equal(numbers(tmp_path / "run"), numbers(finished))
    code, _, errors = script("weight_decay", *line, "--set", "training.images=100")
    assert (code, errors.count("\n")) == (2, 1)
    assert "training.images" in errors
    assert "96" in errors


def test_a_polite_kill_of_the_whole_group_ends_in_one_line_within_seconds(start_script, tmp_path):
    # With a Ray of its own, as on a machine of Slurm.
    line = [*TWO_TRIALS, *SLOW, "--storage-path", str(tmp_path), "--name", "run", "--max-concurrent", "1"]
    process = start_script("weight_decay", *line, own_ray=True)
    wait_for(lambda: evaluations(tmp_path / "run") >= 2)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - begun < 20
    assert process.returncode == 130
    last = output.splitlines()[-1]
    assert last.startswith("interrupted with 2 of 2 trials unfinished; finish it with --resume --name run")
    assert "Traceback" not in output
    assert "[20" not in output  # of Ray's own log
    assert len(pd.read_csv(tmp_path / "run/table.csv")) >= 2


def test_limits_on_trials_at_once_and_on_time(start_script, tmp_path):
    place = ["--storage-path", str(tmp_path), "--name", "run"]
    limits = ["--max-concurrent", "1", "--time-budget", "5s"]
    # In a process of its own: the trial of a sweep that was broken off ends with its driver, and frees its CPU.
    process = start_script("weight_decay", *TWO_TRIALS, *SLOW, *place, *TWO_AT_ONCE, *limits)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output
    assert "the time budget is used up with " in output
    begun = [json.loads(line) for line in (tmp_path / "run/trials.jsonl").read_text().splitlines()]
    assert begun[0]["event"] == "begun"
    assert [event["event"] for event in begun[:2]] != ["begun", "begun"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_said_and_nothing_is_lost(start_script, resume, finished, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        place = ["--storage-path", str(disk), "--name", "run"]
        (disk / "filling").write_bytes(bytes(1_400_000))
        process = start_script("weight_decay", *TWO_TRIALS, *SHORT, *place)
        output, _ = process.communicate(timeout=300)
        assert (process.returncode, "Traceback" not in output) == (130, True), output
        (line,) = [line for line in output.splitlines() if "broke off" in line]
        assert "full" in line
        assert "Error:" not in line
        assert "Warning" not in output
        assert "--resume --name run" in output
        (disk / "filling").unlink()
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        _, after = resume(disk / "run")
        pd.testing.assert_frame_equal(after, numbers(finished))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
