"""`result.json`: what a trial reported, a line for each evaluation, as Ray Tune writes it and `analysis` reads it."""

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memo_core.experiment import FlatExperiment

RESULT_FILE = "result.json"
TIMES = ("timestamp", "time_total_s")
"""When a row was reported, and the seconds of work of the trial until then, in every attempt."""
ADDED = ("done", "training_iteration", "trial_id", "hostname", "pid", "config")
"""What `result_lines` adds to a report, beside its times."""
EVALUATION_SCHEDULE = ("evaluation.every_epochs", "evaluation.every_images", "evaluation.count")
"""The settings that say when a training is evaluated."""


def experiment_id(experiment: FlatExperiment) -> str:
    """Return the identity of a trial, 12 hexadecimal digits: equal for equal settings, wherever they run."""
    return hashlib.sha256(json.dumps(experiment, sort_keys=True).encode()).hexdigest()[:12]


def training_id(experiment: FlatExperiment) -> str:
    """Return the identity of a trial's training, 12 hexadecimal digits.

    It is equal for experiments that differ in what acts after a step alone, the EMA rate, or after the training: how
    the network is sampled and measured. When it is evaluated counts.
    """
    return experiment_id(
        {
            key: value
            for key, value in experiment.items()
            if key != "training.ema_decay" and (key in EVALUATION_SCHEDULE or not key.startswith("evaluation."))
        }
    )


def result_lines(rows: Sequence[Mapping[str, Any]], experiment: FlatExperiment, done: bool) -> list[str]:
    """Return the lines of `result.json`.

    Args:
        rows: the reports so far.
        experiment: of the trial.
        done: the last report is the trial's last.
    """
    about = {"hostname": socket.gethostname(), "pid": os.getpid(), "config": experiment}
    lines = []
    for number, row in enumerate(rows, 1):
        metrics = {name: value for name, value in row.items() if name not in TIMES}
        own = {
            "timestamp": row.get("timestamp", 0),
            "done": done and number == len(rows),
            "training_iteration": number,
            "trial_id": experiment_id(experiment),
            "time_total_s": row.get("time_total_s", 0.0),
        }
        # In the order in which Tune writes its own: readers find the parts of a line by it.
        lines.append(json.dumps({**metrics, **own, **about}) + "\n")
    return lines


class Stopwatch:
    """The seconds of work of a trial, in every attempt."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._before = float(rows[-1].get("time_total_s", 0.0)) if rows else 0.0
        self._started = time.monotonic()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count what is done within."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._started += time.monotonic() - start

    def times(self) -> dict[str, float]:
        """Return `TIMES` of a report made now."""
        return {"timestamp": int(time.time()), "time_total_s": self._before + time.monotonic() - self._started}
