"""What is checked of a plan without reading data: that settings have an effect, and that networks can be built."""

import functools
from collections.abc import Iterable, Sequence

from memo_core.errors import MemosweepError
from memo_core.experiment import EMBEDDED_RESOLUTION, DataConfig, Experiment, ModelConfig
from memo_core.experiment.network_size import parameter_count
from sweeps.engine.plans.factor import Factor, Selection


def check_effect(key: str, trials: Sequence[Experiment]) -> None:
    """Refuse to vary a key that none of the trials reads: they would be the same training.

    Raises:
        MemosweepError: which setting leaves it without effect.
    """
    reasons = [_without_effect(key, trial) for trial in trials]
    if reasons and all(reasons):
        raise MemosweepError(f"{key} would have no effect: {reasons[0]}")


def check_effects(factor: Factor, selection: Selection, trials: Sequence[Experiment]) -> None:
    """Refuse a factor, and settings of the data on the command line, that none of the trials reads.

    Raises:
        MemosweepError: which setting leaves it without effect.
    """
    check_effect(factor.key, trials)
    for key, value in selection.settings.items():
        section, _, name = key.partition(".")
        # The default may be given explicitly.
        if section == "data" and value != DataConfig.model_fields[name].default:
            check_effect(key, trials)


def _without_effect(key: str, trial: Experiment) -> str | None:
    """Return why an experiment does not read a key; None where it does."""
    data, section = trial.data, key.partition(".")[0]
    if key == "data.num_labels" and data.labels != "random":
        return f"data.labels = {data.labels}, and only random labels have a number of their own"
    if key in ("data.blend_dataset", "data.blend_classes") and data.blend_ratio == 0:
        return "data.blend_ratio = 0.0, and nothing of a second source is taken"
    if trial.model.architecture == "pipeline" and section == "model" and key != "model.architecture":
        return "model.architecture = pipeline, which brings its own network"
    if trial.model.architecture == "optimum" and section in ("model", "training") and key != "model.architecture":
        return "model.architecture = optimum, which has no network and is not trained"
    return None


def check_networks(trials: Iterable[Experiment]) -> None:
    """Check each distinct network, at the resolutions that are known without reading data.

    Raises:
        MemosweepError: a network that cannot be built.
    """
    for trial in trials:
        resolution = trial.data.resolution or EMBEDDED_RESOLUTION.get(trial.data.dataset)
        if resolution is not None:
            check_network(trial.model, resolution)


@functools.cache
def check_network(config: ModelConfig, resolution: int) -> None:
    """Raise MemosweepError where a network cannot be built for images of `resolution` pixels a side."""
    if config.architecture not in ("optimum", "pipeline"):
        parameter_count(config, resolution, channels=3, num_labels=0)
