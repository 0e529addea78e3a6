"""From trials to Tune's search space."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from memo_core.experiment import FlatExperiment
from sweeps.engine.plans.factor import moved_keys

METRIC = "best_memorization_ratio"
"""What searchers, schedulers and displays take for the result of a trial."""


def grid_space(trials: Sequence[FlatExperiment]) -> dict[str, Any] | None:
    """`tune.grid_search` over every key that moves, where the trials are such a product; else None."""
    moved = moved_keys(trials)
    options = {key: _distinct([flat[key] for flat in trials]) for key in moved}
    product = {json.dumps(combination) for combination in itertools.product(*options.values())}
    if product != {json.dumps([flat[key] for key in moved]) for flat in trials}:
        return None
    return {**trials[0], **{key: tune.grid_search(values) for key, values in options.items()}}


def _distinct(values: Sequence[Any]) -> list[Any]:
    return list({json.dumps(value): value for value in values}.values())


def short_name(config: Mapping[str, Any], moved: Sequence[str]) -> str:
    """A trial's name from what distinguishes it, such as `weight_decay=0.01 size=64`."""
    return " ".join(f"{key.rpartition('.')[2]}={_value_text(config[key])}" for key in moved)


def _value_text(value: Any) -> str:
    """A value in a name; different values have different texts."""
    if isinstance(value, list | tuple):
        # A mask's bits need nothing between them.
        return ("" if set(value) <= {0, 1} else "-").join(map(str, value))
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def trial_title(trial: Trial, moved: Sequence[str]) -> str:
    """Tune's name of a trial: what distinguishes it."""
    return short_name(trial.config, moved).replace(" ", ",") or trial.trial_id


def trial_directory(trial: Trial, moved: Sequence[str]) -> str:
    """A trial's folder: its title as far as any file system, URL and pattern takes it, made unique by its id."""
    safe = re.sub(r"[^A-Za-z0-9=,.+-]+", "_", trial_title(trial, moved)).lstrip("._-")
    return f"{safe[:120]}_{trial.trial_id}"
