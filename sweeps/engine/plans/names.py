"""Names: of trials and their folders, of the metric, of options."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from memo_core.experiment import FlatExperiment
from memo_core.results import experiment_id

METRIC = "best_memorization_ratio"
"""What searchers, schedulers and displays take for the result of a trial."""
STORAGE = "results"
"""Where runs lie by default."""
CHECKPOINTS_KEPT = 2
"""Of each trial."""
AUTO = "auto"
"""The value of `--gpus-per-trial` that is found by a measurement."""
EARLY_STOPS = ("early_success", "sequential_sampling")
"""The options of an EMM search that save work within a trial; `--protocol paper` switches them off."""
BISECT_OPTIONS = ("zeta", "tolerance", "min_size", "max_size", "protocol", *EARLY_STOPS)
OPTUNA_OPTIONS = ("trials", "direction", "asha")
"""The options of one kind of search alone, by their names in Python."""


def short_name(config: Mapping[str, Any], varied: Sequence[str]) -> str:
    """Return a trial's name from the settings that distinguish it, such as `weight_decay=0.01 size=64`."""
    return " ".join(f"{key.rpartition('.')[2]}={_value_text(config[key])}" for key in varied)


def _value_text(value: Any) -> str:
    """Return a value in a name; different values have different texts."""
    if isinstance(value, list | tuple):
        # A mask's bits need nothing between them.
        return ("" if set(value) <= {0, 1} else "-").join(map(str, value))
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def without_budget(experiment: FlatExperiment) -> str:
    """Return what is the same of two trials that differ in their budget and their evaluations alone."""
    free = ("training.epochs", "training.images", "evaluation.")
    return json.dumps({key: value for key, value in experiment.items() if not key.startswith(free)}, sort_keys=True)


def trial_title(config: Mapping[str, Any], varied: Sequence[str]) -> str:
    """Return the name of a trial: the settings that distinguish it."""
    return short_name(config, varied).replace(" ", ",") or "trial"


def trial_directory(config: FlatExperiment, varied: Sequence[str]) -> str:
    """Return a trial's folder: its title as far as any file system, URL and pattern takes it, and its identity."""
    safe = re.sub(r"[^A-Za-z0-9=,.+-]+", "_", trial_title(config, varied)).lstrip("._-")
    return f"{safe[:120]}_{experiment_id(config)}"


def folder_name(experiment: FlatExperiment, varied: Sequence[str], renamed: Mapping[str, str]) -> str:
    """Return a trial's folder in a run: of `renamed`, by identity, where it has a name of its own."""
    return renamed.get(experiment_id(experiment)) or trial_directory(experiment, varied)


def identity_of(folder: str) -> str:
    """Return the identity that a trial's folder is named by."""
    return folder.rpartition("_")[2]
