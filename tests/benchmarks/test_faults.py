"""The benchmark of faults: its counts see what is lost, repeated and changed, and its faults do what they say."""

import hashlib
import json

import pandas as pd
import pytest

from benchmarks.faulting import injection
from benchmarks.faulting.comparison import differences
from benchmarks.faulting.driver import Driver, Place
from benchmarks.faulting.history import Repetition, read_events, repetition
from benchmarks.faulting.injection import (
    CHECKPOINT_DAMAGED,
    DISK_FULL,
    FOLDER_MOVED,
    JOURNAL_CUT,
    KINDS,
    RESULTS_CUT,
    Faults,
)
from benchmarks.faulting.soak import SoakError, left_behind, run_undisturbed, run_with_faults


def counted(*events):
    return repetition([(float(time), event, "trial", images) for time, (event, images) in enumerate(events)])


def test_a_trial_that_goes_on_from_its_newest_checkpoint_repeats_nothing_that_could_be_avoided():
    found = counted(
        ("went on", 0), ("step", 16), ("saved", 16), ("step", 32), ("step", 48), ("went on", 16), ("step", 32)
    )
    assert found == Repetition(unavoidable_images=32, starts=2)


def test_a_start_before_a_whole_checkpoint_is_a_repeated_training():
    found = counted(("went on", 0), ("step", 16), ("saved", 16), ("step", 32), ("saved", 32), ("went on", 0))
    assert (found.repeated_trainings, found.repeated_images) == (1, 32)


def test_a_damaged_checkpoint_is_no_whole_one_until_it_is_written_again():
    events = [("went on", 0), ("saved", 16), ("saved", 32), ("step", 40), ("damaged", 32), ("went on", 16)]
    assert counted(*events).repeated_trainings == 0
    assert counted(*events).unavoidable_images == 24
    assert counted(*events, ("saved", 32), ("went on", 16)).repeated_images == 16


def test_of_checkpoints_the_last_two_count():
    events = [("went on", 0), ("saved", 16), ("saved", 32), ("saved", 48), ("damaged", 48), ("damaged", 32)]
    assert counted(*events, ("went on", 0)).repeated_trainings == 0


def test_a_step_of_a_trial_whose_results_stand_is_counted_once():
    done = [("went on", 0), ("step", 16), ("saved", 16), ("done", 16)]
    assert counted(*done, ("went on", 16), ("step", 32), ("step", 48)).finished_trained_again == 1
    assert counted(*done, ("results lost", 0), ("went on", 16), ("step", 32)).finished_trained_again == 0
    with pytest.raises(ValueError, match="no such event"):
        counted(("ended", 0))


def test_events_of_all_processes_come_in_their_order_without_a_line_that_was_cut(tmp_path):
    (tmp_path / "1.jsonl").write_text('[3.0, "step", "a", 16]\n[4.0, "st')
    (tmp_path / "2.jsonl").write_text('[2.0, "went on", "a", 0]\n')
    assert [event[1] for event in read_events(tmp_path)] == ["went on", "step"]


def write_run(run, rows):
    run.mkdir(parents=True)
    for trial in {row["trial_id"] for row in rows}:
        (run / f"a={trial}").mkdir()
    pd.DataFrame(rows).to_parquet(run / "table.parquet")


ROWS = [
    {"trial_id": trial, "images_seen": images, "loss": 0.5 + images, "note": None, "seconds": 1.0}
    for trial in ("1", "2")
    for images in (16, 32)
]


def test_the_comparison_sees_what_is_lost_changed_and_more(tmp_path):
    write_run(tmp_path / "undisturbed", ROWS)
    changed = [{**ROWS[0], "loss": 16.500001, "seconds": 9.0}, *ROWS[1:3], {**ROWS[0], "trial_id": "3"}]
    write_run(tmp_path / "disturbed", changed)
    found = differences(tmp_path / "undisturbed", tmp_path / "disturbed")
    assert (found["trials"], found["lost_trials"], found["lost_evaluations"]) == (2, 1, 1)
    assert (found["changed_numbers"], found["compared_numbers"]) == (1, 12)
    assert found["attempts_as_trials"] == 2  # a folder and a row
    same = differences(tmp_path / "undisturbed", tmp_path / "undisturbed")
    assert not any(same[key] for key in ("lost_trials", "lost_evaluations", "changed_numbers", "attempts_as_trials"))


@pytest.fixture
def place(tmp_path):
    """A run of one trial with two checkpoints."""
    place = Place(tmp_path)
    trial = place.run / "a_1"
    for position in (16, 32):
        folder = trial / f"checkpoint_{position:012d}"
        folder.mkdir(parents=True)
        content = bytes(range(256))
        (folder / "checkpoint.pt").write_bytes(content)
        (folder / "checkpoint.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  checkpoint.pt\n")
    (trial / "result.json").write_text('{"a": 1}\n')
    (place.run / "trials.jsonl").write_text('{"event": "begun"}\n')
    return place


def test_the_newest_checkpoint_is_damaged_once_and_noted(place):
    faults = Faults(place, seed=0)
    assert faults.cause(CHECKPOINT_DAMAGED, None)
    one, two = sorted(place.run.glob("*/checkpoint_*"))
    assert (injection._is_whole(one), injection._is_whole(two)) == (True, False)
    assert not faults.cause(CHECKPOINT_DAMAGED, None)  # else both would be
    assert [event[1:] for event in read_events(place.witness)] == [("damaged", "a_1", 32)]
    assert faults.counts[CHECKPOINT_DAMAGED] == faults.between[CHECKPOINT_DAMAGED] == 1


@pytest.mark.parametrize(("kind", "file"), [(JOURNAL_CUT, "trials.jsonl"), (RESULTS_CUT, "a_1/result.json")])
def test_files_are_cut(place, kind, file):
    before = (place.run / file).read_text()
    assert Faults(place, seed=0).cause(kind, None)
    after = (place.run / file).read_text()
    assert before.startswith(after)
    assert len(after) < len(before)


def test_a_moved_folder_holds_what_it_held(place):
    before = place.run
    assert Faults(place, seed=0).cause(FOLDER_MOVED, None)
    assert not before.exists()
    assert (place.run / "trials.jsonl").exists()


def test_all_kinds_come_equally_often_and_in_the_same_order_for_the_same_seed(place):
    orders = [[faults.next_kind() for _ in range(2 * len(KINDS))] for faults in (Faults(place, 3), Faults(place, 3))]
    assert orders[0] == orders[1]
    assert all(orders[0].count(kind) == 2 for kind in KINDS)


SWEEP = """
import json, os, sys, time, pathlib
witness = pathlib.Path(os.environ["MEMOSWEEP_WITNESS"], f"{os.getpid()}.jsonl")
witness.write_text(json.dumps([time.time(), "went on", "a_1", 0]) + "\\n")
file = pathlib.Path("count")
count = int(file.read_text()) if file.exists() else 0
file.write_text(str(count + 1))
time.sleep(0.1 if count == 3 else 60)
"""
"""Ends with 0 at its fourth start."""


def test_a_sweep_is_started_again_until_it_is_done_and_nothing_stays(tmp_path):
    place = Place(tmp_path)
    kinds = tuple(kind for kind in KINDS if kind != DISK_FULL)
    soak = run_with_faults(place, ["-c", SWEEP], Faults(place, 0, kinds), between=(0.1, 0.2), starts=9)
    assert soak.starts == 4
    assert soak.exit_codes[0] == 1
    assert sum(soak.exit_codes.values()) == 4
    assert set(left_behind(place).values()) == {0}


def test_a_sweep_that_does_not_end_is_given_up(tmp_path):
    with pytest.raises(SoakError, match="ends with 3:\nwords"):
        run_undisturbed(Place(tmp_path / "1"), ["-c", "print('words'); raise SystemExit(3)"])
    place = Place(tmp_path / "2")
    with pytest.raises(SoakError, match="not done after 2 starts"):
        run_with_faults(place, ["-c", "raise SystemExit(130)"], Faults(place, 0), between=(1, 2), starts=2)


def test_processes_of_a_sweep_are_known_by_their_environment(tmp_path):
    place = Place(tmp_path)
    driver = Driver(place, ["-c", "import time; time.sleep(60)"], 1)
    assert len(place.processes()) == 1
    driver.kill()
    assert place.processes() == []


def test_the_witness_writes_beside_the_run(tmp_path):
    place = Place(tmp_path)
    code = "import memo_core.training.saving.checkpoints as c, json; print(json.dumps(c.Checkpoints.save.__name__))"
    driver = Driver(place, ["-c", code], 1)
    assert driver.wait(120) == 0
    assert json.loads(driver.text()) == "watched_save"
