"""Which trials need no training: those that the run's own folder holds whole, and equal ones of other runs."""

import contextlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from analysis.results.store import RESULT_FILE, join_url, last_part, open_location
from memo_core.errors import MemosweepError
from memo_core.experiment import DataConfig, Experiment, FlatExperiment
from memo_core.results import experiment_id
from sweeps.engine.plans.manifest import Manifest, name_of, unreachable
from sweeps.engine.plans.names import folder_name, trial_directory
from sweeps.engine.plans.plan import EMMSearchOptions, OptunaOptions, Plan
from sweeps.engine.search.journal import Ended
from sweeps.engine.tune.trial.trial_folder import CHECKPOINTS, TrialRecord, read_record, read_records


class KnownTrials:
    """The trials of a run that are over.

    Args:
        run_path: folder or URL of the run.
        manifest: of the run.
        ended: by identity, what the journal says of trials that ended.
        reuse: folders or URLs of runs whose trials are taken where their experiments and images are equal.
        copies_later: trials of other runs are copied by `copy_reused`, not as soon as they are found.

    Raises:
        MemosweepError: a place cannot be read, or a run of `reuse` is none.
    """

    def __init__(
        self,
        run_path: str,
        manifest: Manifest,
        ended: Mapping[str, Ended],
        reuse: Sequence[str] = (),
        copies_later: bool = False,
    ) -> None:
        self._run_path, self._plan = run_path, manifest.plan
        self.records = read_records(run_path)
        self.renamed = {
            trial_id: record.folder
            for trial_id, record in self.records.items()
            if not record.rows or trial_directory(record.result["config"], self._plan.varied) != record.folder
        }
        """By identity, the folders that were, or may have been, named when the run varied other settings."""
        over = (record for record in self.records.values() if is_over(record, ended.get(record.trial_id), self._plan))
        # What failed may succeed now, after an error that its user has mended.
        self._results = {record.trial_id: record.result for record in over if record.failure != "failed"}
        self._elsewhere = _finished_elsewhere(run_path, self._plan, reuse)
        self.reused: dict[str, str] = {}
        """From identities to the run that the trial was taken from."""
        self._pixels: dict[DataConfig, str] = {}
        self._copies_later = copies_later
        self._to_copy: list[tuple[_Source, FlatExperiment]] = []

    def result(self, experiment: FlatExperiment) -> Mapping[str, Any] | None:
        """Return the last report of the trial of an experiment, where that is over; None where it must be trained."""
        trial_id = experiment_id(experiment)
        if trial_id not in self._results and trial_id in self._elsewhere:
            source = self._elsewhere.pop(trial_id)
            own = read_record(self._run_path, folder_name(experiment, self._plan.varied, self.renamed))
            if own.done and own.failure is None:
                # Another trial's training was its training too.
                self._results[trial_id] = own.result
            elif source.has_images(self._pixels_of(Experiment.from_flat(experiment).data)):
                self._take(source, experiment)
                if not self._copies_later:
                    self.copy_reused()
        return self._results.get(trial_id)

    def end(self, trial_id: str) -> Literal["done", "diverged"] | None:
        """Return how a trial ended, by its identity; None where it is not known, as of one that failed."""
        result = self._results.get(trial_id)
        return None if result is None else "diverged" if result.get("failure") else "done"

    def add(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Add a trial, by its identity, that is over now."""
        self._results[trial_id] = result

    def _pixels_of(self, data: DataConfig) -> str:
        """Return the SHA-256 of a training set as it is now; it is read once for all trials on it."""
        from memo_core.data import load_training_set  # noqa: PLC0415 (loads torch)

        if data not in self._pixels:
            self._pixels[data] = load_training_set(data).pixels_sha256
        return self._pixels[data]

    def copy_reused(self) -> None:
        """Copy the trials of other runs that were found and not copied yet."""
        while self._to_copy:
            self._copy(*self._to_copy.pop(0))

    def _take(self, source: "_Source", experiment: FlatExperiment) -> None:
        trial_id = source.record.trial_id
        self.reused[trial_id] = name_of(source.run_path)
        self._results[trial_id] = source.record.result
        self._to_copy.append((source, experiment))

    def _copy(self, source: "_Source", experiment: FlatExperiment) -> None:
        """Copy a trial of another run, whose name is added to each of its results."""
        run = name_of(source.run_path)
        name = folder_name(experiment, self._plan.varied, self.renamed)
        there, path = open_location(join_url(source.run_path, source.record.folder))
        here, target = open_location(join_url(self._run_path, name))
        with unreachable(f"{join_url(self._run_path, name)}: cannot be written"):
            files = [str(file) for file in there.find(path) if not str(file).endswith(f"/{RESULT_FILE}")]
            for file in files:
                place = f"{target}/{file[len(path) :].lstrip('/')}"
                here.makedirs(place.rpartition("/")[0], exist_ok=True)
                here.pipe_file(place, there.cat_file(file))
            rows = ({"reused_from": run, **row} for row in source.record.rows)
            here.makedirs(target, exist_ok=True)
            # Behind the others: a trial whose copy is not whole is not done.
            here.pipe_file(f"{target}/{RESULT_FILE}", "".join(f"{json.dumps(row)}\n" for row in rows).encode())


@dataclass(frozen=True)
class _Source:
    """A trial of another run."""

    run_path: str
    record: TrialRecord

    def has_images(self, pixels_sha256: str) -> bool:
        """Return whether the trial was trained on these images, as its checkpoint says."""
        from memo_core.training.saving.checkpoint import CHECKPOINT_FILE, read_checkpoint  # noqa: PLC0415 (loads torch)

        filesystem, path = open_location(join_url(self.run_path, self.record.folder))
        with tempfile.TemporaryDirectory() as place:
            for folder in sorted(map(str, filesystem.ls(path, detail=False)), reverse=True):
                if not last_part(folder).startswith(CHECKPOINTS):
                    continue
                # Of a damaged one, or of none, the one before may tell.
                with contextlib.suppress(MemosweepError, OSError):
                    file = Path(place) / CHECKPOINT_FILE
                    filesystem.get_file(f"{folder.rstrip('/')}/{CHECKPOINT_FILE}", str(file))
                    return bool(read_checkpoint(file).get("pixels_sha256") == pixels_sha256)
        return False


def _finished_elsewhere(run_path: str, plan: Plan, reuse: Sequence[str]) -> dict[str, _Source]:
    """Return the trials that other runs have finished under the same rules as those of `plan`, by identity."""
    found: dict[str, _Source] = {}
    for other in reuse:
        if other == run_path:
            continue
        records = read_records(other)
        if _rules(Manifest.read(other).plan) != _rules(plan):
            continue
        for trial_id, record in records.items():
            if record.done and record.failure is None:
                found.setdefault(trial_id, _Source(other, record))
    return found


def _rules(plan: Plan) -> tuple[float, bool, bool] | None:
    """Return what the rows of a trial depend on beside its experiment: the early stops of an EMM search."""
    search = plan.search
    if not isinstance(search, EMMSearchOptions):
        return None
    return search.target, search.early_success, search.sequential_sampling


def is_over(record: TrialRecord, ended: Ended | None, plan: Plan) -> bool:
    """Return whether a trial needs no further training."""
    if record.done:
        return True
    # ASHA stops a trial from outside, which its own results cannot say.
    if not (isinstance(plan.search, OptunaOptions) and plan.search.asha) or ended is None or ended.result is None:
        return False
    return bool(record.result.get("images_seen", -1) >= ended.result.get("images_seen", 0))
