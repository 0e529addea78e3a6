import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from analysis.results.samples import best_samples


def trial(sweep: Path) -> Path:
    return next(sweep.glob("size=10,weight_decay=0_*"))


def test_samples_come_from_the_newest_checkpoint(sweep: Path) -> None:
    samples = best_samples(trial(sweep))
    assert samples is not None
    assert samples["memorized"].shape == (256,)
    assert samples["generated"].shape == samples["nearest"].shape == (32, 1, 8, 8)


def test_a_half_written_file_falls_back_to_the_checkpoint_before(sweep: Path) -> None:
    newer = trial(sweep) / "checkpoint_000099"
    newer.mkdir()
    (newer / "best.npz").write_bytes(b"PK\x03\x04 cut")
    assert best_samples(trial(sweep)) is not None


def test_a_trial_without_samples_or_folder_has_none(sweep: Path) -> None:
    assert best_samples(next(sweep.glob("size=20,weight_decay=0.001_*"))) is None
    assert best_samples(sweep / "nowhere") is None


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("memorized", np.zeros(3, bool)),
        ("nearest_index", np.full(256, -1)),
        ("nearest_index", np.zeros(256)),
        ("nearest_distance", np.full(256, np.nan)),
        ("generated", np.zeros((32, 1, 8, 8))),
        ("nearest", np.zeros((32, 64), np.uint8)),
    ],
)
def test_arrays_that_do_not_fit_together_are_passed_over(sweep: Path, name: str, odd: np.ndarray) -> None:
    good = best_samples(trial(sweep))
    assert good is not None
    newer = trial(sweep) / "checkpoint_000099"
    newer.mkdir()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{**good, name: odd})
    (newer / "best.npz").write_bytes(buffer.getvalue())
    chosen = best_samples(trial(sweep))
    assert chosen is not None
    assert np.array_equal(chosen[name], good[name])


def test_a_member_that_is_not_an_array_is_passed_over(sweep: Path) -> None:
    good = best_samples(trial(sweep))
    assert good is not None
    newer = trial(sweep) / "checkpoint_000099"
    newer.mkdir()
    np.savez(newer / "best.npz", **{name: array for name, array in good.items() if name != "memorized"})
    with zipfile.ZipFile(newer / "best.npz", "a") as archive:
        archive.writestr("memorized", b"no array")
    chosen = best_samples(trial(sweep))
    assert chosen is not None
    assert np.array_equal(chosen["memorized"], good["memorized"])


@pytest.mark.parametrize("byte", range(40, 1000, 97))
def test_a_flipped_byte_never_ends_in_an_error(sweep: Path, byte: int) -> None:
    (file,) = trial(sweep).glob("checkpoint_*/best.npz")
    content = bytearray(file.read_bytes())
    content[byte] ^= 0xFF
    file.write_bytes(bytes(content))
    best_samples(trial(sweep))
