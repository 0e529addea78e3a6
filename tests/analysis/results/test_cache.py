import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.errors import SkippedResultsWarning
from analysis.results import experiment
from analysis.results.cache import CACHE_FILE
from analysis.results.store import LocalStore
from tests.analysis.conftest import fail

pytestmark = pytest.mark.filterwarnings("ignore:.*no evaluation yet:analysis.errors.SkippedResultsWarning")


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trial folders that were parsed."""
    folders: list[str] = []
    original = experiment.parse_trial

    def parse(folder: str, content: bytes) -> object:
        folders.append(folder)
        return original(folder, content)

    monkeypatch.setattr(experiment, "parse_trial", parse)
    return folders


def test_the_second_reading_parses_nothing_and_gives_the_same(sweep: Path, parsed: list[str]) -> None:
    first = analysis.load(sweep)
    assert len(parsed) == 8
    second = analysis.load(sweep)
    assert len(parsed) == 8
    pd.testing.assert_frame_equal(first, second)


def test_a_grown_result_alone_is_parsed_again(sweep: Path, parsed: list[str]) -> None:
    analysis.load(sweep)
    parsed.clear()
    file = next(sweep.glob("size=10,weight_decay=0.001_*/result.json"))
    last = json.loads(file.read_text().splitlines()[-1])
    with file.open("a") as lines:
        lines.write(json.dumps({**last, "images_seen": 12_000, "memorization_ratio": 0.9}) + "\n")
    grown = analysis.load(sweep)
    assert parsed == [file.parent.name]
    assert len(grown) == 15
    pd.testing.assert_frame_equal(grown, analysis.load(sweep, cache=False))


def test_a_result_rewritten_with_its_old_size_and_time_is_noticed(sweep: Path) -> None:
    before = analysis.load(sweep)
    file = next(sweep.glob("size=10,weight_decay=0_ec31f_*/result.json"))
    status, text = file.stat(), file.read_text()
    ratio = json.loads(text.splitlines()[-1])["memorization_ratio"]
    other = str(ratio)[:-1] + ("1" if str(ratio)[-1] != "1" else "2")
    file.write_text(text.replace(f'"memorization_ratio": {ratio}', f'"memorization_ratio": {other}'))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    after = analysis.load(sweep)
    assert not after["memorization_ratio"].equals(before["memorization_ratio"])
    pd.testing.assert_frame_equal(after, analysis.load(sweep, cache=False))


def test_what_could_not_be_read_is_said_again_from_the_cache(sweep: Path) -> None:
    (sweep / "trials.jsonl").write_text('{"event": "begun"}')
    for _ in range(2):
        with pytest.warns(SkippedResultsWarning, match="1 line of trials.jsonl cannot be read"):
            analysis.load(sweep)


def test_a_new_and_a_removed_trial_are_noticed(sweep: Path, parsed: list[str]) -> None:
    analysis.load(sweep)
    parsed.clear()
    first = sorted(sweep.glob("size=*"))[0]
    other = first.with_name(first.name.replace("ec31f", "ab12c"))
    shutil.copytree(first, other)
    result = other / "result.json"
    result.write_text(result.read_text().replace("ec31f", "ab12c"))
    assert analysis.load(sweep)["trial_id"].nunique() == 9
    assert parsed == [other.name]
    shutil.rmtree(other)
    assert analysis.load(sweep)["trial_id"].nunique() == 8


def test_a_changed_journal_is_noticed(sweep: Path) -> None:
    analysis.load(sweep)
    fail(sweep, "ec31f_00006")
    assert "error" in set(analysis.load(sweep)["status"])


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense PAR1", b"\x00" * 1000])
def test_a_corrupted_cache_is_built_again(sweep: Path, content: bytes) -> None:
    first = analysis.load(sweep)
    (sweep / CACHE_FILE).write_bytes(content)
    pd.testing.assert_frame_equal(analysis.load(sweep), first)
    assert (sweep / CACHE_FILE).stat().st_size > 1000


def test_a_truncated_cache_is_built_again(sweep: Path) -> None:
    first = analysis.load(sweep)
    whole = (sweep / CACHE_FILE).read_bytes()
    (sweep / CACHE_FILE).write_bytes(whole[: len(whole) // 2])
    pd.testing.assert_frame_equal(analysis.load(sweep), first)


def test_a_foreign_parquet_in_its_place_is_replaced(sweep: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(sweep / CACHE_FILE)
    assert len(analysis.load(sweep)) == 14


def test_a_folder_that_cannot_be_written_only_warns(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LocalStore, name: str, content: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(LocalStore, "write", refuse)
    with pytest.warns(SkippedResultsWarning, match="no cache can be kept there"):
        assert len(analysis.load(sweep)) == 14


def test_without_cache_nothing_is_written(sweep: Path) -> None:
    analysis.load(sweep, cache=False)
    assert not (sweep / CACHE_FILE).exists()


def test_no_half_written_cache_is_left_when_writing_fails(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.warns(SkippedResultsWarning, match="No space left"):
        analysis.load(sweep)
    assert not list(sweep.glob(f"{CACHE_FILE}*"))
