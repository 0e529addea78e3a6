"""A trial's folder: what it says counts as far as it is whole, on a disk and behind a URL."""

import json
from types import SimpleNamespace

import fsspec
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analysis.results.records import parse_trial
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, with_settings
from memo_core.results import Stopwatch, experiment_id
from sweeps.engine.plans.names import trial_directory
from sweeps.engine.tune.trial.tensorboard import tensorboard_log
from sweeps.engine.tune.trial.trial_folder import (
    EXTENDED_FILE,
    TrialFolder,
    TrialRecord,
    continue_folder,
    parse_record,
    read_records,
)

FLAT = Experiment.from_flat(LAPTOP).to_flat()
LONGER = Experiment.from_flat(with_settings(LAPTOP, {"training.images": 10**6})).to_flat()
NAME = trial_directory(FLAT, ["model.width"])


def row(number, **more):
    ratio = number / 10
    return {
        "images_seen": 100 * number, "epoch": float(number), "loss": 0.5, "memorization_ratio": ratio,
        "memorization_ratio_low": ratio / 2, "memorization_ratio_high": min(1.0, 2 * ratio), "num_samples": 10,
        "best_memorization_ratio": ratio, "timestamp": 1_700_000_000 + number, "time_total_s": 2.5 * number, **more,
    }  # fmt: skip


ROWS = [row(1), row(2), row(3)]


@pytest.fixture
def url(tmp_path):
    """A place of its own in an object store in memory."""
    return f"memory:/{tmp_path}/run"


@pytest.fixture
def lines(tmp_path):
    """The lines of a finished trial."""
    TrialFolder(str(tmp_path), NAME, FLAT).write_results(ROWS, done=True)
    return (tmp_path / NAME / "result.json").read_bytes().splitlines(keepends=True)


def test_what_is_written_is_read_by_the_analysis(tmp_path, lines):
    read = parse_trial(NAME, b"".join(lines))
    assert (read.trial_id, read.finished, read.failure) == (experiment_id(FLAT), True, "")
    assert (read.problems, read.odd) == ([], [])
    assert read.config["model.width"] == FLAT["model.width"]
    for stored, evaluation in zip(ROWS, read.evaluations, strict=True):
        assert {name: evaluation[name] for name in stored if name in evaluation} == {
            name: value for name, value in stored.items() if name in evaluation
        }
        assert evaluation["time_total_s"] == stored["time_total_s"]


def test_a_failure_ends_a_trial_for_its_readers_too(tmp_path):
    folder = TrialFolder(str(tmp_path), NAME, FLAT)
    folder.write_results([*ROWS, {"failure": "diverged", "cause": "the loss is nan", "images_seen": 350}], done=True)
    record = folder.record()
    assert (record.done, record.failure, record.result["cause"]) == (True, "diverged", "the loss is nan")
    assert parse_trial(NAME, (tmp_path / NAME / "result.json").read_bytes()).failure == "diverged"


def test_a_record_is_whole_or_not_done(lines):
    whole = b"".join(lines)
    assert parse_record(NAME, whole).done
    assert [r["images_seen"] for r in parse_record(NAME, whole).rows] == [100, 200, 300]
    for content, left in {
        b"": 0,
        whole[:-20]: 2,
        whole[200:]: 2,
        b"".join(lines[:2]): 2,
        b"".join(lines[1:]): 2,
        b"".join([lines[0], lines[2]]): 2,
        lines[0] + b"\xff\xfe\n" + lines[1] + lines[2]: 3,
        whole + b"[" * 100_000: 3,
        whole.replace(b'"done": true', b'"done": 1'): 3,
    }.items():
        record = parse_record(NAME, content)
        assert (record.done, len(record.rows)) == (False, left)


@given(data=st.data())
@hypothesis_settings(max_examples=100, deadline=None)
def test_a_trial_of_which_as_much_as_a_line_is_lost_anywhere_is_not_done(data):
    found = [
        json.dumps({**row(n), "config": FLAT, "done": n == 4, "training_iteration": n}).encode() + b"\n"
        for n in range(1, 5)
    ]
    content, longest = b"".join(found), max(map(len, found))
    start = data.draw(st.integers(0, len(content) - longest))
    end = data.draw(st.integers(start + longest, len(content)))
    assert not parse_record(NAME, content[:start] + content[end:]).done


def test_results_of_another_experiment_do_not_count(lines):
    other = trial_directory(LONGER, ["model.width"])
    assert parse_record(other, b"".join(lines)) == TrialRecord(other, [], done=False)
    strange = b"".join(lines).replace(b'"config": {', b'"config": [{').replace(b"}}", b"}]}")
    assert parse_record(NAME, strange).rows == []


def test_records_are_those_of_trial_folders_alone(tmp_path):
    TrialFolder(str(tmp_path), NAME, FLAT).write_results(ROWS, done=True)
    (tmp_path / trial_directory(LONGER, ["model.width"])).mkdir()
    for name in ("figures", "trial_12", "_0123456789ag"):
        (tmp_path / name).mkdir()
    (tmp_path / "file_0123456789ab").touch()
    records = read_records(str(tmp_path))
    assert {name: len(record.rows) for name, record in records.items()} == {
        experiment_id(FLAT): 3,
        experiment_id(LONGER): 0,
    }
    assert read_records(str(tmp_path / "none")) == {}


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / NAME).touch()
    with pytest.raises(MemosweepError, match=f"{NAME}: cannot be written"):
        TrialFolder(str(tmp_path), NAME, FLAT)


def checkpoint(folder, seen, content=b"weights"):
    place = folder.path / f"checkpoint_{seen:012d}"
    place.mkdir(exist_ok=True)
    (place / "checkpoint.pt").write_bytes(content)
    return place


def test_behind_a_url_the_next_attempt_finds_results_checkpoints_and_errors(url):
    first = TrialFolder(url, NAME, FLAT)
    first.write_results(ROWS[:1], done=False)
    for seen in (100, 200):
        first.upload_checkpoint(checkpoint(first, seen, b"%d" % seen))
    first.append("error.txt", "one\n")
    first.append("error.txt", "two\n")
    first.close()
    assert not first.path.exists()
    second = TrialFolder(url, NAME, FLAT)
    assert [record["images_seen"] for record in second.record().rows] == [100]
    assert second.read("error.txt") == b"one\ntwo\n"
    assert second.read("notes.txt") is None
    assert (second.path / "checkpoint_000000000200/checkpoint.pt").read_bytes() == b"200"
    second.close()


def test_copies_lie_where_they_are_wanted_and_what_killed_writers_leave_goes(url, tmp_path):
    (tmp_path / "copies").mkdir()
    folder = TrialFolder(url, NAME, FLAT, tmp_path / "copies")
    assert folder.path.parent == tmp_path / "copies"
    folder.close()
    assert not list((tmp_path / "copies").iterdir())
    left = tmp_path / "run" / NAME / ".0123456789abcdef.part"
    left.parent.mkdir(parents=True)
    left.touch()
    TrialFolder(str(tmp_path / "run"), NAME, FLAT)
    assert not left.exists()


def test_behind_a_url_old_checkpoints_are_removed_and_one_of_the_same_place_is_replaced(url, tmp_path):
    folder = TrialFolder(url, NAME, FLAT)
    old = checkpoint(folder, 100)
    folder.upload_checkpoint(old)
    (old / "checkpoint.pt").unlink()
    old.rmdir()
    for content in (b"before the evaluation", b"behind it"):
        folder.upload_checkpoint(checkpoint(folder, 200, content))
    store = fsspec.filesystem("memory")
    found = store.find(str(tmp_path / "run" / NAME))
    assert found == [str(tmp_path / "run" / NAME / "checkpoint_000000000200/checkpoint.pt")]
    assert store.cat_file(found[0]) == b"behind it"
    folder.close()


def test_logs_for_tensorboard_get_behind_a_url(url, tmp_path):
    folder = TrialFolder(url, NAME, FLAT)
    images = torch.zeros(4, 3, 8, 8)
    with tensorboard_log(folder) as log:
        log(ROWS[0], SimpleNamespace(generated=images, nearest=images))
    names = [name.rpartition("/")[2] for name in fsspec.filesystem("memory").find(str(tmp_path / "run" / NAME))]
    assert len(names) == 1
    assert names[0].startswith("events.out.tfevents")
    folder.close()


@pytest.mark.parametrize("place", ["disk", "url"])
def test_a_trial_with_a_longer_budget_takes_over_the_folder(place, tmp_path, url):
    run = str(tmp_path) if place == "disk" else url
    folder = TrialFolder(run, NAME, FLAT)
    folder.write_results(ROWS, done=True)
    folder.upload_checkpoint(checkpoint(folder, 300))
    folder.close()
    new = trial_directory(LONGER, ["model.width"])
    continue_folder(run, NAME, new)
    (record,) = read_records(run).values()
    assert (record.folder, record.rows, record.done) == (new, [], False)
    found = TrialFolder(run, new, LONGER)
    assert (found.path / "checkpoint_000000000300/checkpoint.pt").exists()
    filesystem, path = fsspec.url_to_fs(run)
    assert len(filesystem.cat_file(f"{path}/{new}/{EXTENDED_FILE}").splitlines()) == 3
    found.close()


def test_the_work_of_every_attempt_is_counted():
    assert Stopwatch([row(4)]).times()["time_total_s"] == pytest.approx(10, abs=1)
    assert Stopwatch([]).times()["time_total_s"] == pytest.approx(0, abs=1)
