"""Which trials need no training: those that the run's own folder holds whole, and equal ones of other runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.results.store import RESULT_FILE, join_url, open_location
from memo_core.experiment import FlatExperiment
from sweeps.engine.plans.manifest import Manifest, unreachable
from sweeps.engine.plans.names import experiment_id, trial_directory
from sweeps.engine.plans.plan import OptunaOptions, Plan
from sweeps.engine.run.folder import name_of
from sweeps.engine.search.journal import Ended
from sweeps.engine.tune.trial_folder import TrialRecord, read_records

_IMAGES = ("data.dataset", "data.blend_dataset")


class KnownTrials:
    """The trials of a run that are over.

    Args:
        run_path: folder or URL of the run.
        manifest: of the run.
        ended: by identity, what the journal says of trials that ended.
        reuse: folders or URLs of runs whose trials are taken where their experiments and images are equal.

    Raises:
        MemosweepError: a place cannot be read, or a run of `reuse` is none.
    """

    def __init__(
        self, run_path: str, manifest: Manifest, ended: Mapping[str, Ended], reuse: Sequence[str] = ()
    ) -> None:
        self._run_path, self._plan, self._images = run_path, manifest.plan, manifest.images
        self.records = read_records(run_path)
        self.folders = {trial_id: record.folder for trial_id, record in self.records.items()}
        over = (record for record in self.records.values() if is_over(record, ended.get(record.trial_id), self._plan))
        # What failed may succeed now, after an error that its user has mended.
        self._results = {record.trial_id: record.result for record in over if record.failure != "failed"}
        self._elsewhere = _finished_elsewhere(run_path, reuse)
        self.reused: dict[str, str] = {}
        """From identities to the run that the trial was taken from."""

    def result(self, experiment: FlatExperiment) -> Mapping[str, Any] | None:
        """Return the last report of the trial of an experiment, where that is over; None where it must be trained."""
        trial_id = experiment_id(experiment)
        if trial_id not in self._results and trial_id in self._elsewhere:
            source = self._elsewhere.pop(trial_id)
            if source.has_images_of(experiment):
                self._take(source, experiment)
        return self._results.get(trial_id)

    def end(self, trial_id: str) -> Literal["done", "diverged"] | None:
        """Return how a trial ended, by its identity; None where it is not known, as of one that failed."""
        result = self._results.get(trial_id)
        return None if result is None else "diverged" if result.get("failure") else "done"

    def add(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Add a trial, by its identity, that is over now."""
        self._results[trial_id] = result

    def _take(self, source: "_Source", experiment: FlatExperiment) -> None:
        """Copy a trial of another run, whose name is added to each of its results."""
        name, run = trial_directory(experiment, self._plan.varied), name_of(source.run_path)
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
        trial_id = source.record.trial_id
        self.folders[trial_id], self.reused[trial_id] = name, run
        self._results[trial_id] = source.record.result


@dataclass(frozen=True)
class _Source:
    """A trial of another run."""

    run_path: str
    record: TrialRecord

    def has_images_of(self, experiment: FlatExperiment) -> bool:
        """Return whether the trial was trained on the images that an experiment names now."""
        with tempfile.TemporaryDirectory() as place, contextlib.suppress(MemosweepError):
            folder = TrialFolder(self.run_path, self.record.folder, experiment)
            ...
        return False


def _finished_elsewhere(run_path: str, reuse: Sequence[str]) -> dict[str, _Source]:
    """Return the trials that other runs have finished, by identity."""
    found: dict[str, _Source] = {}
    for other in reuse:
        if other == run_path:
            continue
        manifest = Manifest.read(other)
        for trial_id, record in read_records(other).items():
            if record.done and record.failure is None:
                found.setdefault(trial_id, _Source(other, manifest.images, record))
    return found


def _sources(experiment: FlatExperiment) -> list[str]:
    return [str(experiment[key]) for key in _IMAGES if experiment.get(key) is not None]


def is_over(record: TrialRecord, ended: Ended | None, plan: Plan) -> bool:
    """Return whether a trial needs no further training."""
    if record.done:
        return True
    # ASHA stops a trial from outside, which its own results cannot say.
    asha = isinstance(plan.search, OptunaOptions) and plan.search.asha
    return asha and bool(record.rows) and ended is not None and ended.status == "terminated"
