"""A whole copy of Tune's saved state, for a driver that is killed.

Tune writes its state in place, once a second, several files one after the other: a killed driver may leave half a file,
or files of different moments. Object stores replace a file whole, so the copy is made in local folders alone.
"""

import contextlib
import zipfile
from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem
from ray.tune import Callback
from ray.tune.experiment import Trial

from analysis.results.store import is_local
from sweeps.engine.tune.state import STATE_FILES

COPY = ".state.zip"


class StateCopy(Callback):  # type: ignore[misc] # ray ships no types
    """Copies each state that Tune has saved, between two of its steps, when the files are whole and of one moment."""

    def __init__(self) -> None:
        self._begun = False
        self._copied = 0

    def on_step_begin(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Forget what Tune has read of the session before, else it writes that again and again, `sweep.json` too."""
        if not self._begun and trials:
            for file in Path(trials[0].storage.experiment_driver_staging_path).iterdir():
                if file.suffix in (".json", ".pkl"):
                    file.unlink()
        self._begun = True

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Copy a new state."""
        if not trials or not isinstance(trials[0].storage.storage_filesystem, LocalFileSystem):
            return
        files = _newest(Path(trials[0].storage.experiment_driver_staging_path))
        saved = files[0].stat().st_mtime_ns if files else 0
        if saved == self._copied:
            return
        self._copied = saved
        # A full disk fails the trials, with an error of its own.
        with contextlib.suppress(OSError):
            write_copy(Path(trials[0].storage.experiment_fs_path), files)


def write_copy(run: Path, files: list[Path]) -> None:
    """Replace the copy in a run's folder by these files."""
    new = run / f"{COPY}.new"
    with zipfile.ZipFile(new, "w") as archive:
        for file in files:
            archive.writestr(file.name, file.read_bytes())
    new.replace(run / COPY)


def put_back(run_path: str) -> None:
    """Replace Tune's state in a run's folder by the copy of it, where a killed driver has left one."""
    run = Path(run_path)
    if not is_local(run_path) or not (run / COPY).exists():
        return
    try:
        with zipfile.ZipFile(run / COPY) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return  # no copy is kept by a damaged one: Tune's own files are checked next
    for file in run.iterdir():
        if file.name.startswith(STATE_FILES):
            file.unlink()
    for name, content in contents.items():
        (run / Path(name).name).write_bytes(content)


def remove_copy(run_path: str) -> None:
    """Remove the copy after a sweep whose last state Tune has written to the end."""
    if is_local(run_path):
        (Path(run_path) / COPY).unlink(missing_ok=True)


def _newest(folder: Path) -> list[Path]:
    """Return the newest of each of Tune's files: the session's time is in the names."""
    names = sorted(file.name for file in folder.iterdir()) if folder.exists() else []
    found = [[name for name in names if name.startswith(prefix)] for prefix in STATE_FILES]
    return [folder / name[-1] for name in found if name]
