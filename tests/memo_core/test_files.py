import errno
import os
import stat
from pathlib import Path

import pytest

from memo_core.errors import MemosweepError, StorageFullError
from memo_core.files import check_output_file, check_output_folder, write_atomically, write_together


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_get_the_permissions_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_atomically(tmp_path / "a", b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        StorageFullError, match=r"a: cannot be written \(No space left on device; 0.0 MiB needed, [0-9,.]+ .iB free\)"
    ):
        write_atomically(tmp_path / "a", b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_name_as_long_as_the_file_system_allows_is_written(tmp_path):
    write_atomically(tmp_path / ("a" * 255), b"x")
    assert (tmp_path / ("a" * 255)).read_bytes() == b"x"


def test_folders_and_paths_through_files_are_refused_in_time_and_late(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "file/a.npz", tmp_path / "file/b/a.npz", tmp_path / ("a" * 300)):
        with pytest.raises(MemosweepError, match="--out"):
            check_output_file(path, "--out")
        with pytest.raises(MemosweepError, match="cannot be written"):
            write_atomically(path, b"x")
    for path in (tmp_path / "file", tmp_path / "file/b"):
        with pytest.raises(MemosweepError, match="--out"):
            check_output_folder(path, "--out")


def test_a_check_leaves_nothing_behind(tmp_path):
    check_output_file(tmp_path / "a/b/c.npz", "--out")
    check_output_folder(tmp_path / "a/b", "--out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no files")
def test_a_place_that_even_root_cannot_write_is_refused():
    with pytest.raises(MemosweepError, match="cannot be written"):
        check_output_file(Path("/proc/memosweep/a.npz"), "--out")


def test_a_quota_that_is_used_up_says_nothing_of_the_disk(tmp_path, monkeypatch):
    def used_up(_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("os.fsync", used_up)
    with pytest.raises(StorageFullError, match=r"\(Disk quota exceeded; 0.0 MiB needed\)"):
        write_atomically(tmp_path / "a", b"new")


def test_what_was_not_written_whole_is_noticed(tmp_path, monkeypatch):
    write_atomically(tmp_path / "a", b"old")
    monkeypatch.setattr("os.fsync", lambda descriptor: os.ftruncate(descriptor, 2))
    with pytest.raises(MemosweepError, match="2 of 3 bytes are there") as caught:
        write_atomically(tmp_path / "a", b"new")
    assert not isinstance(caught.value, StorageFullError)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a": b"old"}


def test_files_that_belong_together_are_replaced_together(tmp_path, monkeypatch):
    folder = tmp_path / "new"
    write_together(folder, {"a": b"1", "sums": b"of 1"}, vouching="sums")
    (folder / ".a.part").write_bytes(b"left by a killed process")
    write_together(folder, {"sums": b"of 2", "a": b"2"}, vouching="sums")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"a": b"2", "sums": b"of 2"}
    replaced = []

    def killed(self, target):
        replaced.append(target.name)
        assert not (folder / "sums").exists()
        if replaced == ["a", "b"]:
            raise KeyboardInterrupt
        self.rename(target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_together(folder, {"sums": b"of 3", "a": b"3", "b": b"3"}, vouching="sums")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"a": b"3"}
