"""Names of runs."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.run.folder import LOCK, claim_name, refuse_existing


def test_starts_at_one_moment_have_different_names(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(lambda _: claim_name(str(tmp_path / "new"), "width-20260101-000000"), range(16)))
    assert len(set(names)) == 16
    assert {"width-20260101-000000", "width-20260101-000000-2"} < set(names)
    assert {folder.name for folder in (tmp_path / "new").iterdir()} == set(names)


def test_what_a_start_leaves_that_is_killed_before_its_manifest_is_whole_is_no_run(tmp_path):
    (tmp_path / LOCK).touch()
    (tmp_path / ".0123456789abcdef.part").touch()
    refuse_existing(str(tmp_path))
    (tmp_path / "notes.part").touch()
    with pytest.raises(MemosweepError, match="is not the run of a sweep"):
        refuse_existing(str(tmp_path))


def test_behind_a_url_too():
    assert len({claim_name("s3://bucket/x?region=eu", "width") for _ in range(16)}) == 16


@pytest.mark.parametrize("place", ["/proc/nowhere", "file"])
def test_a_place_that_cannot_be_written_is_named(place, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MemosweepError, match="cannot be written"):
        claim_name(str(tmp_path / place), "width")


@pytest.mark.parametrize("name", ["[a]", "a*", "a?", "a\nb", "x" * 300, "é" * 150, "a\\b"])
def test_a_name_that_means_something_else_is_refused(name, script, tmp_path):
    code, _, errors = script("weight_decay", "--preset", "laptop", "--storage-path", str(tmp_path), "--name", name)
    assert (code, errors.count("\n")) == (2, 1)
    assert "--name" in errors
    assert not list(tmp_path.iterdir())


def test_a_url_takes_plain_names_alone(script):
    code, _, errors = script("weight_decay", "--preset", "laptop", "--storage-path", "s3://bucket/x", "--name", "a b")
    assert (code, "cannot stand in the name of a run" in errors) == (2, True)
