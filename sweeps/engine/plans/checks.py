"""Whether a key can change anything: trials that differ only in a key that nothing reads would be the same training."""

from collections.abc import Mapping, Sequence
from typing import Any

from memo_core.errors import MemosweepError
from memo_core.experiment import DataConfig, FlatExperiment
from sweeps.engine.plans.factor import Factor, Selection


def check_effect(key: str, trials: Sequence[FlatExperiment]) -> None:
    """Refuse to move a key that none of the trials reads.

    Raises:
        MemosweepError: which setting leaves it without effect.
    """
    reasons = [_without_effect(key, flat) for flat in trials]
    if reasons and all(reasons):
        raise MemosweepError(f"{key} would have no effect: {reasons[0]}")


def check_effects(factor: Factor, selection: Selection, trials: Sequence[FlatExperiment]) -> None:
    """Refuse a factor, and settings of the data on the command line, that none of the trials reads.

    Raises:
        MemosweepError: which setting leaves it without effect.
    """
    check_effect(factor.key, trials)
    for key, value in selection.settings.items():
        section, _, name = key.partition(".")
        # What is the default anyway may be said.
        if section == "data" and value != DataConfig.model_fields[name].default:
            check_effect(key, trials)


def _without_effect(key: str, flat: Mapping[str, Any]) -> str | None:
    """Why an experiment does not read a key; None where it does."""
    if key == "data.num_labels" and flat["data.labels"] != "random":
        return f"data.labels = {flat['data.labels']}, and only random labels have a number of their own"
    if key in ("data.blend_dataset", "data.blend_classes") and flat["data.blend_ratio"] == 0:
        return "data.blend_ratio = 0.0, and nothing of a second source is taken"
    section = key.partition(".")[0]
    if flat["model.architecture"] == "optimum" and section in ("model", "training") and key != "model.architecture":
        return "model.architecture = optimum, which has no network and is not trained"
    return None
