import io
import logging
import os
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
import torch

from memo_core.errors import MemosweepError, OtherTrainingError, StorageFullError
from memo_core.experiment import Experiment
from memo_core.interop import load_snapshot
from memo_core.training import Trainer
from memo_core.training.saving.checkpoint import check_sums, load_checkpoint, read_checkpoint, save_checkpoint
from tests.conftest import TINY


@pytest.fixture(scope="module")
def experiment():
    return Experiment.from_flat({**TINY, "data.size": 4, "training.images": 32, "evaluation.num_samples": 2})


@pytest.fixture(scope="module")
def saved(experiment, tmp_path_factory):
    """The bytes of a checkpoint in the middle of a run, and of its best samples."""
    folder = tmp_path_factory.mktemp("saved")
    trainer = Trainer(experiment, "cpu")
    next(trainer.evaluations())
    save_checkpoint(trainer, folder)
    return (folder / "checkpoint.pt").read_bytes(), (folder / "best.npz").read_bytes()


@pytest.fixture
def content(saved):
    return torch.load(io.BytesIO(saved[0]), weights_only=True)


def refusal(folder, trainer, needed=load_checkpoint):
    """The one line with which a checkpoint is refused."""
    with pytest.raises(MemosweepError) as caught:
        needed(trainer, folder) if needed is load_checkpoint else needed(folder / "checkpoint.pt")
    message = str(caught.value)
    assert "checkpoint.pt" in message
    assert "\n" not in message
    return message


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_a_truncated_checkpoint_is_refused(saved, tmp_path):
    whole = saved[0]
    for length in [0, 1, 4, 30, 100, 1000, *range(2000, len(whole), len(whole) // 20), len(whole) - 1]:
        (tmp_path / "checkpoint.pt").write_bytes(whole[:length])
        for read in (read_checkpoint, load_snapshot):
            refusal(tmp_path, None, read)


def test_a_damaged_checkpoint_is_refused_or_read_as_it_was(saved, content, tmp_path):
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(saved[0])
        # Half of the damage at the end, where the directory is.
        start = int(generator.choice([0, len(damaged) - 3000]))
        damaged[generator.integers(start, len(damaged))] ^= 1 << generator.integers(8)
        (tmp_path / "checkpoint.pt").write_bytes(damaged)
        try:
            assert equal(read_checkpoint(tmp_path / "checkpoint.pt"), content)
        except MemosweepError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 50


def test_a_damaged_pickle_within_a_sound_archive_never_fails_in_another_way(saved, experiment, tmp_path):
    generator = np.random.default_rng(1)
    with zipfile.ZipFile(io.BytesIO(saved[0])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))
    trainer = Trainer(experiment, "cpu")
    refused = 0
    for _ in range(300):
        damaged = bytearray(members[pickled])
        for position in generator.integers(len(damaged), size=3):
            damaged[position] = generator.integers(256)
        with zipfile.ZipFile(tmp_path / "checkpoint.pt", "w") as archive:
            for name, member in members.items():
                archive.writestr(name, bytes(damaged) if name == pickled else member)
        try:
            load_checkpoint(trainer, tmp_path)
        except MemosweepError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 200


KEYS = ["experiment", "model", "ema", "optimizer", "images_seen", "seconds", "noise_generator", "dropout_generator",
        "divergence", "rows", "tallies", "best_images_seen", "has_adaptive_samples", "resolution", "channels",
        "num_labels"]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_checkpoint_that_lacks_a_part_or_has_nonsense_there_is_refused(content, experiment, tmp_path, key):
    trainer = Trainer(experiment, "cpu")
    for value in ("absent", None, "text"):
        changed = {name: part for name, part in content.items() if name != key or value != "absent"}
        if value != "absent":
            changed[key] = value
        torch.save(changed, tmp_path / "checkpoint.pt")
        assert key in refusal(tmp_path, trainer)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rows", [1, 2], "cannot be resumed"),
        ("rows", [{"loss": 1.0}], "cannot be resumed"),
        ("rows", [], "cannot be resumed"),
        ("tallies", [("a", "b", "c")], "cannot be resumed"),
        ("tallies", [(8, 1, 0.5)], "cannot be resumed"),
        ("divergence", {}, "cannot be resumed"),
        ("model", {"a": torch.zeros(1)}, "cannot be resumed"),
        ("optimizer", {}, "cannot be resumed"),
        ("noise_generator", torch.zeros(3), "cannot be resumed"),
        ("dropout_generator", torch.zeros(3), "cannot be resumed"),
        ("experiment", {5: 1}, "keys that are not text"),
        ("experiment", {"data.sizes": 5}, "did you mean data.size"),
        ("experiment", {**TINY, "data.size": torch.zeros(30, 30)}, "data.size"),
    ],
    ids=str,
)
def test_parts_of_the_wrong_form_are_named(content, experiment, tmp_path, key, value, message):
    torch.save({**content, key: value}, tmp_path / "checkpoint.pt")
    assert message in refusal(tmp_path, Trainer(experiment, "cpu"))


def test_an_optimizer_without_its_moments_is_refused(content, experiment, tmp_path):
    for state in ({}, {0: {**content["optimizer"]["state"][0], "exp_avg": torch.zeros(3)}}):
        content["optimizer"] = {**content["optimizer"], "state": state}
        torch.save(content, tmp_path / "checkpoint.pt")
        assert "exp_avg" in refusal(tmp_path, Trainer(experiment, "cpu"))


def test_the_optimum_in_a_checkpoint_is_refused(content, tmp_path):
    content["experiment"]["model.architecture"] = "optimum"
    torch.save(content, tmp_path / "checkpoint.pt")
    assert "'optimum' has no weights" in refusal(tmp_path, None, load_snapshot)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "flipped", "absent"])
def test_broken_samples_never_stop_a_resume(saved, experiment, tmp_path, caplog, damage):
    checkpoint, samples = saved
    (tmp_path / "checkpoint.pt").write_bytes(checkpoint)
    flipped = bytearray(samples)
    flipped[len(samples) // 2] ^= 255
    broken = {"empty": b"", "truncated": samples[: len(samples) // 2], "text": b"no npz", "flipped": bytes(flipped)}
    if damage != "absent":
        (tmp_path / "best.npz").write_bytes(broken[damage])
    trainer = Trainer(experiment, "cpu")
    with caplog.at_level(logging.WARNING):
        load_checkpoint(trainer, tmp_path)
    assert trainer.images_seen == 16
    assert trainer.best_arrays is None
    assert len(caplog.records) == (damage != "absent")
    (evaluation,) = trainer.evaluations()
    assert evaluation.metrics["images_seen"] == 32
    save_checkpoint(trainer, tmp_path)
    with np.load(tmp_path / "best.npz") as stored:
        assert len(stored["generated"]) == 2


class Smuggler:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_a_checkpoint_that_refers_to_code_is_refused_in_our_own_words(tmp_path, capsys):
    torch.save({"experiment": Smuggler()}, tmp_path / "evil.pt")
    with pytest.raises(MemosweepError, match="refers to code, print, and only") as caught:
        read_checkpoint(tmp_path / "evil.pt", "cpu")
    assert "\x1b" not in str(caught.value)
    assert "must not run" not in capsys.readouterr().out


@pytest.fixture
def whole(experiment, saved, tmp_path):
    """A checkpoint with its checksums."""
    trainer = Trainer(experiment, "cpu")
    next(trainer.evaluations())
    save_checkpoint(trainer, tmp_path)
    return tmp_path


def test_the_checksums_are_those_of_sha256sum(whole):
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    checked = subprocess.run(
        ["sha256sum", "-c", "checkpoint.sha256"], cwd=whole, check=True, capture_output=True, text=True
    )
    assert checked.stdout.splitlines() == ["checkpoint.pt: OK", "best.npz: OK"]
    assert check_sums(whole) == {"checkpoint.pt", "best.npz"}


@pytest.mark.parametrize("name", ["checkpoint.pt", "best.npz"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "absent"])
def test_files_that_do_not_fit_their_checksums_are_refused_before_the_trainer_is_changed(
    whole, experiment, name, damage
):
    content = bytearray((whole / name).read_bytes())
    if damage == "absent":
        (whole / name).unlink()
    else:
        content[len(content) // 2] ^= 1
        (whole / name).write_bytes(content if damage == "flipped" else content[:-1])
    trainer = Trainer(experiment, "cpu")
    with pytest.raises(MemosweepError, match=f"{name}: (damaged, its SHA-256 is not|cannot be read)"):
        load_checkpoint(trainer, whole)
    assert trainer.is_between_steps
    assert (trainer.images_seen, trainer.rows) == (0, [])


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"0" * 64 + b"  ../other\n"])
def test_damaged_checksums_are_refused(whole, experiment, content):
    (whole / "checkpoint.sha256").write_bytes(content)
    with pytest.raises(MemosweepError, match=r"checkpoint.sha256: damaged"):
        load_checkpoint(Trainer(experiment, "cpu"), whole)


def test_a_part_that_a_disk_kept_is_never_taken_for_a_checkpoint(whole, experiment, monkeypatch):
    before = {file.name: file.read_bytes() for file in whole.iterdir()}
    trainer = Trainer(experiment, "cpu")
    list(trainer.evaluations())
    monkeypatch.setattr("os.fsync", lambda descriptor: os.ftruncate(descriptor, 100))
    with pytest.raises(MemosweepError, match=r"checkpoint.pt: cannot be written \(100 of [0-9,]+ bytes are there"):
        save_checkpoint(trainer, whole)
    assert {file.name: file.read_bytes() for file in whole.iterdir()} == before


@pytest.mark.parametrize("full", [0, 1, 2])
def test_a_disk_that_fills_up_leaves_the_checkpoint_that_was_there(whole, experiment, monkeypatch, full):
    before = {file.name: file.read_bytes() for file in whole.iterdir()}
    trainer = Trainer(experiment, "cpu")
    list(trainer.evaluations())
    written = iter(range(3))

    def fill_up(_):
        if next(written) == full:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fill_up)
    with pytest.raises(StorageFullError, match=r"No space left on device; .* MiB needed, .* free\); make room there"):
        save_checkpoint(trainer, whole)
    assert {file.name: file.read_bytes() for file in whole.iterdir()} == before


def test_other_images_are_refused_and_change_nothing(whole, experiment):
    trainer = Trainer(experiment, "cpu")
    trainer.data.images[0, 0, 0, 0] += 1
    with pytest.raises(OtherTrainingError, match="trained on other images than digits holds now") as caught:
        load_checkpoint(trainer, whole)
    assert "\n" not in str(caught.value)
    assert trainer.images_seen == 0
