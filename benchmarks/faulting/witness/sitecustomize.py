"""Log what trials do, from inside their processes and outside of their run's folder, where no fault reaches.

Python imports this at the start of every process that has this folder on its path. It writes one file a process into
`$MEMOSWEEP_WITNESS`, a JSON list a line: [seconds, "went on" | "step" | "saved" | "done", trial's folder, images seen].
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _log(event: str, trial: str, images_seen: int) -> None:
    line = f"{json.dumps([time.time(), event, trial, images_seen])}\n".encode()
    file = os.open(
        Path(os.environ["MEMOSWEEP_WITNESS"], f"{os.getpid()}.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    # Past every buffer: the next moment may be this process's last.
    os.write(file, line)
    os.close(file)


def _watch_training(module: Any) -> None:
    checkpoints, trainers = module.Checkpoints, module.Trainer
    save, load, evaluations = checkpoints.save, checkpoints.load_newest, trainers.evaluations

    def watched_save(self: Any, trainer: Any) -> Path:
        path = save(self, trainer)
        _log("saved", path.parent.name, trainer.images_seen)
        return Path(path)

    def watched_load(self: Any, make_trainer: Any) -> Any:
        trainer, notes = load(self, make_trainer)
        trainer.witnessed_name = self._folder.name
        _log("went on", trainer.witnessed_name, trainer.images_seen)
        return trainer, notes

    def watched_evaluations(self: Any, on_progress: Any = None, *others: Any) -> Any:
        def step(images_seen: int) -> None:
            _log("step", self.witnessed_name, images_seen)
            if on_progress is not None:
                on_progress(images_seen)

        return evaluations(self, step, *others)

    checkpoints.save, checkpoints.load_newest, trainers.evaluations = watched_save, watched_load, watched_evaluations


def _watch_results(module: Any) -> None:
    write = module.TrialFolder.write_results

    def watched_write(self: Any, rows: Any, done: bool) -> None:
        write(self, rows, done)
        if done:
            _log("done", self.path.name, rows[-1].get("images_seen", 0))

    module.TrialFolder.write_results = watched_write


_WATCHED = {
    "memo_core.training.saving.checkpoints": _watch_training,
    "sweeps.engine.tune.trial.trial_folder": _watch_results,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Changes a module once it is loaded."""

    def __init__(self) -> None:
        self._left = dict(_WATCHED)

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        watch: Callable[[Any], None] | None = self._left.pop(name, None)
        spec = importlib.util.find_spec(name) if watch is not None else None
        if watch is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_watch(module: Any) -> None:
            execute(module)
            watch(module)

        spec.loader.exec_module = execute_and_watch  # type: ignore[method-assign]
        return spec


if "MEMOSWEEP_WITNESS" in os.environ:
    sys.meta_path.insert(0, _Finder())
