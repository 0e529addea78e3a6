"""One trial's folder in a run's folder or URL: its results and checkpoints, written by the trial's own worker alone.

TITLE_IDENTITY/
  result.json                 a line for each evaluation, the last one with `"done": true` where the trial is over
  checkpoint_000000016000/    by images seen: checkpoint.pt, best.npz, checkpoint.sha256; the last two
  error.txt                   the traceback of a failure
  events.out.tfevents...      for TensorBoard
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis.results.store import RESULT_FILE, is_local, join_url, last_part, local_path, open_location
from memo_core.experiment import FlatExperiment
from memo_core.files import UNFINISHED, write_atomically
from memo_core.results import experiment_id, result_lines
from sweeps.engine.plans.manifest import unreachable
from sweeps.engine.plans.names import identity_of

ERROR_FILE = "error.txt"
LAST_ERROR_FILE = "error.json"
"""The last error of the trial and where it happened, to see that it happens again."""
NOTES_FILE = "notes.txt"
"""What a user should know of the trial's attempts, such as a damaged checkpoint, a line each."""
EXTENDED_FILE = "result_before_extension.json"
CHECKPOINTS = "checkpoint_"
_OWN_FILES = (RESULT_FILE, ERROR_FILE, LAST_ERROR_FILE, NOTES_FILE)


@dataclass(frozen=True)
class TrialRecord:
    """What a trial's folder says of it."""

    folder: str
    """Its name."""
    rows: Sequence[Mapping[str, Any]]
    """The whole lines of `result.json`."""
    done: bool
    """The trial is over: the last line says so, and no line is missing."""

    @property
    def trial_id(self) -> str:
        """Its identity."""
        return identity_of(self.folder)

    @property
    def failure(self) -> str | None:
        """`diverged` or `failed`, by the trial's own account."""
        return self.rows[-1].get("failure") if self.rows else None

    @property
    def result(self) -> Mapping[str, Any]:
        """Its last report."""
        return self.rows[-1] if self.rows else {}


def read_records(run_path: str) -> dict[str, TrialRecord]:
    """Return the trials of a run by identity.

    Raises:
        MemosweepError: the place cannot be read.
    """
    with unreachable(f"{run_path}: cannot be read"):
        filesystem, path = open_location(run_path)
        entries = filesystem.ls(path, detail=True) if filesystem.isdir(path) else []
        names = [last_part(entry["name"]) for entry in entries if entry["type"] == "directory"]
        with ThreadPoolExecutor(1 if is_local(run_path) else 16) as threads:
            records = list(threads.map(partial(_read, filesystem, path), [name for name in names if _is_trial(name)]))
    return {record.trial_id: record for record in records}


def read_record(run_path: str, name: str) -> TrialRecord:
    """Return what the folder of a name in a run says of its trial, where there is one.

    Raises:
        MemosweepError: the place cannot be read.
    """
    with unreachable(f"{run_path}: cannot be read"):
        return _read(*open_location(run_path), name)


def _read(filesystem: Any, path: str, name: str) -> TrialRecord:
    try:
        content = bytes(filesystem.cat_file(f"{path}/{name}/{RESULT_FILE}"))
    except FileNotFoundError:
        content = b""
    return parse_record(name, content)


def _is_trial(name: str) -> bool:
    identity = identity_of(name)
    return "_" in name and len(identity) == 12 and set(identity) <= set("0123456789abcdef")


def parse_record(folder: str, content: bytes) -> TrialRecord:
    """Return what a trial's `result.json` says, as far as it is whole."""
    rows = []
    lines = content.splitlines()
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and experiment_id(row.get("config") or {}) == identity_of(folder):
            rows.append(row)
    numbers = [row.get("training_iteration") for row in rows]
    whole = len(rows) == len(lines) and numbers == list(range(1, len(rows) + 1))
    return TrialRecord(folder, rows, whole and bool(rows) and rows[-1].get("done") is True)


class TrialFolder:
    """Writes one trial's folder.

    Args:
        run_path: folder or URL of the run.
        name: of the trial's folder.
        experiment: of the trial.
        copies: where a local copy of a folder behind a URL is made; None takes the system's temporary folder.

    Raises:
        MemosweepError: the place cannot be reached or written.
    """

    def __init__(self, run_path: str, name: str, experiment: FlatExperiment, copies: Path | None = None) -> None:
        self.location = join_url(run_path, name)
        self._name, self._experiment = name, experiment
        self._local = is_local(run_path)
        self.path = Path(
            local_path(self.location) if self._local else tempfile.mkdtemp(prefix="memosweep-trial-", dir=copies)
        )
        """A local folder that holds what the trial's folder holds, or a copy of it."""
        with unreachable(f"{self.location}: cannot be written"):
            self.path.mkdir(parents=True, exist_ok=True)
            for file in self.path.iterdir():
                if UNFINISHED.fullmatch(file.name):
                    file.unlink()
            if not self._local:
                self._download()

    def record(self) -> TrialRecord:
        """Return what the folder says now."""
        return parse_record(self._name, self.read(RESULT_FILE) or b"")

    def write_results(self, rows: Sequence[Mapping[str, Any]], done: bool) -> None:
        """Write `result.json` whole.

        Args:
            rows: the reports so far.
            done: the last one is the trial's last.
        """
        self.write(RESULT_FILE, "".join(result_lines(rows, self._experiment, done)).encode())

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder, whole or not at all."""
        write_atomically(self.path / name, content)
        self.upload(name)

    def append(self, name: str, text: str) -> None:
        """Write behind what a file holds."""
        self.write(name, (self.read(name) or b"") + text.encode())

    def read(self, name: str) -> bytes | None:
        """Return what a file holds; None where there is none."""
        file = self.path / name
        return file.read_bytes() if file.exists() else None

    def upload(self, name: str) -> None:
        """Copy a file or folder of `path` to where it belongs, if that is elsewhere."""
        if self._local:
            return
        from memo_core.training.saving.checkpoint import SUMS_FILE  # noqa: PLC0415 (loads torch, which readers do without)

        source = self.path / name
        files = sorted(source.iterdir(), key=lambda file: file.name == SUMS_FILE) if source.is_dir() else [source]
        with unreachable(f"{self.location}: cannot be written"):
            filesystem, path = open_location(self.location)
            # File by file: `put` of a folder lands inside one that is there already. The checksums come last.
            for file in files:
                place = f"{path}/{file.relative_to(self.path).as_posix()}"
                filesystem.makedirs(place.rpartition("/")[0], exist_ok=True)
                filesystem.put_file(str(file), place)

    def upload_checkpoint(self, folder: Path) -> None:
        """Copy a checkpoint to where it belongs, and remove there what is no longer here."""
        if self._local:
            return
        self.upload(folder.name)
        with unreachable(f"{self.location}: cannot be written"):
            filesystem, path = open_location(self.location)
            for entry in filesystem.ls(path, detail=False):
                name = last_part(entry)
                if name.startswith(CHECKPOINTS) and not (self.path / name).exists():
                    filesystem.rm(f"{path}/{name}", recursive=True)

    def _download(self) -> None:
        filesystem, path = open_location(self.location)
        if not filesystem.isdir(path):
            return
        for entry in filesystem.ls(path, detail=False):
            name = last_part(entry)
            if name.startswith((CHECKPOINTS, *_OWN_FILES)):
                filesystem.get(f"{path}/{name}", str(self.path / name), recursive=True)

    def close(self) -> None:
        """Remove the copy, where there is one."""
        if not self._local:
            shutil.rmtree(self.path, ignore_errors=True)


def continue_folder(run_path: str, old: str, new: str) -> None:
    """Name a trial's folder after an experiment that goes on from its checkpoints.

    The results so far are kept under another name: those of the new budget are written anew, from the checkpoint.
    """
    with unreachable(f"{join_url(run_path, new)}: cannot be written"):
        filesystem, path = open_location(run_path)
        # In this order: a folder without results would not be found by the next attempt at the extension.
        filesystem.mv(f"{path}/{old}", f"{path}/{new}", recursive=True)
        filesystem.mv(f"{path}/{new}/{RESULT_FILE}", f"{path}/{new}/{EXTENDED_FILE}")
