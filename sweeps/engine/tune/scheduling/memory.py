"""Trials that share a GPU whose memory does not suffice for them: tried again alone, on a whole one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from memo_core.errors import MemoryExhaustedError
from sweeps.engine.tune.scheduling.asha import ContinuedASHA

_EXHAUSTED = MemoryExhaustedError.__name__
_FAILURE = "Failure # "
"""What begins each failure in an `error.txt` of Tune."""


def is_packed(reserved: Mapping[str, float]) -> bool:
    """Return whether a trial shares its GPU with others."""
    return 0 < reserved.get("GPU", 0) < 1


def give_whole_gpu(trial: Trial) -> None:
    """Let a trial that failed over memory, with a share of a GPU, wait for a whole one.

    It must happen before Tune puts the trial back into its queues, which are sorted by resources.
    """
    (reserved,) = trial.placement_group_factory.bundles[:1]
    file = Path(trial.local_path) / "error.txt"
    last = file.read_text(errors="replace").rpartition(_FAILURE)[2] if file.exists() else ""
    if trial.status == Trial.ERROR and is_packed(reserved) and f"{_EXHAUSTED}: " in last:
        trial.update_resources({"cpu": reserved.get("CPU", 0), "gpu": 1})


class InTurn(FIFOScheduler):  # type: ignore[misc] # ray ships no types
    """All trials in turn, as without a scheduler; those that lack memory again on a whole GPU."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Give the trial more, where that helps."""
        super().on_trial_error(tune_controller, trial)
        give_whole_gpu(trial)


class ASHAInTurn(ContinuedASHA):
    """ASHA; trials that lack memory again on a whole GPU."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Give the trial more, where that helps."""
        super().on_trial_error(tune_controller, trial)
        give_whole_gpu(trial)
