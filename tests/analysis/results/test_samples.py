from pathlib import Path

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
