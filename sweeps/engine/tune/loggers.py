"""Trackers beside TensorBoard: Weights & Biases and MLflow, through Ray's own callbacks."""

import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback

from analysis.results.store import is_local, local_path
from memo_core.errors import MemosweepError
from sweeps.engine.plans.manifest import name_of

_PROJECT = "memosweep"
_SILENT = ("WANDB_SILENT", "true")
_OFFLINE = ("offline", "disabled")


def check_loggers(names: Sequence[str]) -> None:
    """Refuse trackers that cannot work, before anything starts.

    Raises:
        MemosweepError: a package is missing, or Weights & Biases has no account; and what to do.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            command = f"pip install 'memosweep[{name}]'"
            raise MemosweepError(f"--logger {name}: the package {name} is not installed: {command}")
    if "wandb" in names and not _has_account():
        advice = "run `wandb login`, set WANDB_API_KEY, or WANDB_MODE=offline to send nothing"
        raise MemosweepError(f"--logger wandb: there is no key of an account: {advice}")


def logger_callbacks(names: Sequence[str], run_path: str) -> list[Callback]:
    """Return the callbacks of trackers; each trial is a run of its own, in a group or an experiment named as the run.

    They work on the driver's machine alone. What a tracker keeps locally lies in the folder of a local run.

    Args:
        names: `wandb`, `mlflow`.
        run_path: folder or URL of the run.
    """
    place = Path(local_path(run_path)) if is_local(run_path) else Path.cwd()
    return [_CALLBACKS[name](name_of(run_path), place) for name in names]


def _has_account() -> bool:
    if os.environ.get("WANDB_MODE") in _OFFLINE or os.environ.get("WANDB_API_KEY"):
        return True
    os.environ.setdefault(*_SILENT)
    import wandb  # noqa: PLC0415 (seconds to import)

    return bool(wandb.api.api_key)


def _by_images(row: dict[str, Any]) -> dict[str, Any]:
    """Return a report whose step is the number of images seen: Tune's own starts again where a trial is resumed."""
    seen = int(row.get("images_seen", 0))
    return {**row, "training_iteration": seen, "timesteps_total": seen}


def _wandb(run: str, place: Path) -> Callback:
    from ray.air.integrations.wandb import WandbLoggerCallback  # noqa: PLC0415 (the package is optional)

    class ByImages(WandbLoggerCallback):  # type: ignore[misc] # ray ships no types
        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            super().log_trial_result(iteration, trial, _by_images(result))

    os.environ.setdefault(*_SILENT)
    settings = {"mode": os.environ["WANDB_MODE"]} if "WANDB_MODE" in os.environ else {}
    folder = os.environ.get("WANDB_DIR", str(place))
    project = os.environ.get("WANDB_PROJECT", _PROJECT)
    return ByImages(project=project, group=run, excludes=["done"], dir=folder, **settings)


def _mlflow(run: str, place: Path) -> Callback:
    from ray.air.integrations.mlflow import MLflowLoggerCallback  # noqa: PLC0415 (the package is optional)

    class ByImages(MLflowLoggerCallback):  # type: ignore[misc] # ray ships no types
        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            super().log_trial_result(iteration, trial, _by_images(result))

    # Its notes on new tables would be drawn into the display.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{place}/mlflow.db"
    return ByImages(tracking_uri=uri, experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", run))


_CALLBACKS = {"wandb": _wandb, "mlflow": _mlflow}
