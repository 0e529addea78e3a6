import io

import numpy as np
import pytest
import torch

from memo_core.data import load_training_set
from memo_core.errors import MemosweepError, OtherTrainingError, StorageFullError
from memo_core.experiment import Experiment
from memo_core.training import Trainer
from memo_core.training.saving.checkpoint import read_checkpoint, save_checkpoint
from memo_core.training.saving.checkpoints import Checkpoints, NewestAndPrevious, checkpoint_name
from tests.conftest import TINY

SETTINGS = {**TINY, "data.size": 4, "training.images": 96, "evaluation.count": 3, "evaluation.num_samples": 4}


def maker(**changes):
    experiment = Experiment.from_flat({**SETTINGS, **{key.replace("__", "."): v for key, v in changes.items()}})
    return lambda: Trainer(experiment, "cpu")


@pytest.fixture(scope="module")
def states():
    """A training of six steps, evaluated at each other one: its states by images seen, with the best samples."""
    trainer, found = maker()(), {}

    def keep():
        content = torch.load(_as_file(trainer.state_dict()), weights_only=True)
        found[trainer.images_seen] = (content, trainer.best_arrays)

    for _ in trainer.evaluations(save_due=lambda: True, save=keep):
        keep()
    return found


def _as_file(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    return buffer


@pytest.fixture
def at(states):
    """A trainer at a number of images seen."""

    def make(seen, **changes):
        trainer = maker(**changes)()
        trainer.load_state_dict(*states[seen])
        return trainer

    return make


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def comparable(rows):
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in rows]


def damage(path):
    content = bytearray((path / "checkpoint.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "checkpoint.pt").write_bytes(content)


def test_the_newest_two_are_kept_and_nothing_else_is_there(at, tmp_path):
    checkpoints = Checkpoints(tmp_path / "trial")
    for seen in (16, 32, 48):
        assert checkpoints.save(at(seen)) == tmp_path / "trial" / checkpoint_name(seen)
    assert names(tmp_path / "trial") == ["checkpoint_000000000032", "checkpoint_000000000048"]
    assert names(checkpoints.paths()[0]) == ["best.npz", "checkpoint.pt", "checkpoint.sha256"]
    checkpoints.save(at(48))
    assert names(tmp_path / "trial") == ["checkpoint_000000000032", "checkpoint_000000000048"]
    Checkpoints(tmp_path / "trial", keep=1).save(at(64))
    assert names(tmp_path / "trial") == ["checkpoint_000000000064"]


def test_nothing_saved_is_a_training_at_its_start(tmp_path):
    trainer, notes = Checkpoints(tmp_path / "none").load_newest(maker())
    assert (trainer.images_seen, trainer.rows, notes) == (0, [], [])


@pytest.mark.parametrize("kind", ["flipped", "cut", "empty folder", "diverged"])
def test_a_damaged_one_is_passed_over_and_named(at, states, tmp_path, kind):
    checkpoints = Checkpoints(tmp_path)
    for seen in (32, 48):
        newest = checkpoints.save(at(seen))
    if kind == "flipped":
        damage(newest)
    elif kind == "cut":
        (newest / "checkpoint.pt").write_bytes((newest / "checkpoint.pt").read_bytes()[:-1])
    elif kind == "empty folder":
        for file in list(newest.iterdir()):
            file.unlink()
    else:
        content = read_checkpoint(newest / "checkpoint.pt")
        next(iter(content["model"].values())).fill_(float("nan"))
        torch.save(content, newest / "checkpoint.pt")
        (newest / "checkpoint.sha256").unlink()
    made = []
    trainer, (note,) = checkpoints.load_newest(lambda: made.append(maker()()) or made[-1])
    assert note.startswith("checkpoint_000000000048: damaged (")
    assert note.endswith("), going on from checkpoint_000000000032")
    assert "\n" not in note
    assert str(tmp_path) not in note or kind == "empty folder"
    # Only damage that shows when it is too late costs a new trainer.
    assert len(made) == (2 if kind == "diverged" else 1)
    list(trainer.evaluations())
    assert comparable(trainer.rows) == comparable(states[96][0]["rows"])
    assert torch.equal(trainer.state.ema_parameters.values, at(96).state.ema_parameters.values)
    # The next one takes the place of the damaged one.
    checkpoints.save(at(48))
    assert checkpoints.load_newest(maker())[1] == []


def test_where_all_are_damaged_the_training_starts_anew_and_later_ones_go(at, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for seen in (32, 48):
        damage(checkpoints.save(at(seen)))
    trainer, notes = checkpoints.load_newest(maker())
    assert trainer.images_seen == 0
    assert [note.partition(":")[0] for note in notes] == [checkpoint_name(48), checkpoint_name(32)]
    assert all(note.endswith("starting anew") for note in notes)
    checkpoints.save(at(16))
    assert names(tmp_path) == [checkpoint_name(16)]


def test_a_longer_budget_goes_on_where_its_rows_come_out_as_if_asked_for_at_once(at, tmp_path):
    whole = maker(training__images=192, evaluation__count=6)()
    list(whole.evaluations())
    checkpoints = Checkpoints(tmp_path, keep=9)
    for seen in (32, 64, 80, 96):
        checkpoints.save(at(seen))
    trainer, notes = checkpoints.load_newest(maker(training__images=192, evaluation__count=6))
    assert (trainer.images_seen, [row["images_seen"] for row in trainer.rows], notes) == (96, [32, 64, 96], [])
    list(trainer.evaluations())
    assert comparable(trainer.rows) == comparable(whole.rows)
    assert torch.equal(trainer.state.parameters.values, whole.state.parameters.values)
    assert all(np.array_equal(trainer.best_arrays[name], array) for name, array in whole.best_arrays.items())


def test_evaluations_that_a_longer_budget_does_not_have_are_dropped(states, tmp_path):
    whole = maker(training__images=192, evaluation__count=3)()
    reports = whole.evaluations()
    next(reports)
    content, _ = states[96]
    # The samples of its best evaluation, at 64 images seen.
    best = {**content, "best_images_seen": 64}
    trainer = maker(training__images=192, evaluation__count=3)()
    trainer.load_state_dict(best, whole.best_arrays, as_at_once=True)
    list(reports)
    list(trainer.evaluations())
    assert [row["images_seen"] for row in trainer.rows] == [64, 128, 192]
    assert comparable(trainer.rows) == comparable(whole.rows)


def test_newer_ones_that_would_give_other_rows_are_not_used(at, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=9)
    for seen in (32, 48, 96):
        checkpoints.save(at(seen))
    # Evaluated at 48, 96 and 144.
    trainer, notes = checkpoints.load_newest(maker(training__images=144))
    assert trainer.images_seen == 48
    assert notes == [
        "checkpoint_000000000096: not used (it has no evaluation at 48 images seen), "
        "going on from checkpoint_000000000048"
    ]
    assert [evaluation.metrics["images_seen"] for evaluation in trainer.evaluations()] == [48, 96, 144]
    assert checkpoints.load_newest(maker(training__images=48, evaluation__count=1))[0].images_seen == 48


def test_other_images_or_settings_are_an_error_not_damage(at, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(at(32))
    with pytest.raises(OtherTrainingError, match=r"training.learning_rate"):
        checkpoints.load_newest(maker(training__learning_rate=0.5))

    def with_other_images():
        data = load_training_set(Experiment.from_flat(SETTINGS).data)
        data.images[0] = 0
        return Trainer(Experiment.from_flat(SETTINGS), "cpu", data)

    with pytest.raises(OtherTrainingError, match="other images than digits holds now"):
        checkpoints.load_newest(with_other_images)


def test_a_full_disk_leaves_the_others_and_nothing_of_its_own(at, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(at(16))

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        for seen in (16, 32):
            with pytest.raises(StorageFullError, match=r"checkpoint.pt: cannot be written \(No space left"):
                checkpoints.save(at(seen))
    assert names(tmp_path) == [checkpoint_name(16)]
    assert checkpoints.load_newest(maker())[1] == []


def test_what_a_killed_process_left_is_removed_or_put_back(at, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(at(16))
    # Killed while it wrote a second one, and while it replaced the first one.
    save_checkpoint(at(32), tmp_path / f".{checkpoint_name(32)}.part")
    path.rename(tmp_path / f".{path.name}.old")
    (tmp_path / ".other.part").mkdir()
    trainer, notes = checkpoints.load_newest(maker())
    assert (trainer.images_seen, notes) == (16, [])
    assert names(tmp_path) == [".other.part", checkpoint_name(16)]
    # Killed before it removed the one that was replaced.
    save_checkpoint(at(32), tmp_path / f".{path.name}.old")
    checkpoints.save(at(32))
    assert names(tmp_path) == [".other.part", checkpoint_name(16), checkpoint_name(32)]


def test_the_newest_lies_in_the_folder_itself_and_the_one_before_beside_it(at, tmp_path):
    checkpoints = NewestAndPrevious(tmp_path)
    assert checkpoints.paths == []
    for seen in (16, 32, 48):
        checkpoints.save(at(seen))
    assert names(tmp_path) == ["best.npz", "checkpoint.pt", "checkpoint.sha256", "previous"]
    assert [read_checkpoint(path / "checkpoint.pt")["images_seen"] for path in checkpoints.paths] == [48, 32]
    trainer, notes = checkpoints.load(maker())
    assert (trainer.images_seen, notes) == (48, [])


def test_the_one_before_is_used_where_the_newest_is_damaged_and_is_not_replaced_by_it(at, tmp_path):
    checkpoints = NewestAndPrevious(tmp_path)
    for seen in (16, 32):
        checkpoints.save(at(seen))
    damage(tmp_path)
    trainer, (note,) = checkpoints.load(maker())
    assert trainer.images_seen == 16
    assert note == (
        f"{tmp_path.name}: damaged (checkpoint.pt: damaged, its SHA-256 is not the one in checkpoint.sha256), "
        f"going on from {tmp_path}/previous"
    )
    checkpoints.save(at(48))
    assert [read_checkpoint(path / "checkpoint.pt")["images_seen"] for path in checkpoints.paths] == [48, 16]
    damage(tmp_path)
    damage(tmp_path / "previous")
    with pytest.raises(MemosweepError, match="SHA-256 is not the one"):
        checkpoints.load(maker())


def test_a_full_disk_leaves_a_whole_one(at, tmp_path, monkeypatch):
    checkpoints = NewestAndPrevious(tmp_path)
    checkpoints.save(at(16))

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StorageFullError):
            checkpoints.save(at(32))
    assert checkpoints.load(maker())[0].images_seen == 16
