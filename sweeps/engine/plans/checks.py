"""What is checked before a sweep starts: that settings have an effect, that networks can be built, and the data."""

import functools
from collections.abc import Iterable, Sequence

import torch

from memo_core.data import load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import EMBEDDED_RESOLUTION, DataConfig, Experiment, ModelConfig
from memo_core.measure.fid import inception
from memo_core.model import build_network
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
    if trial.model.architecture == "optimum" and section in ("model", "training") and key != "model.architecture":
        return "model.architecture = optimum, which has no network and is not trained"
    return None


def check_networks(trials: Iterable[Experiment]) -> None:
    """Build the shapes of each distinct network, at the resolutions that are known without reading data.

    Raises:
        MemosweepError: a network that cannot be built.
    """
    for trial in trials:
        resolution = trial.data.resolution or EMBEDDED_RESOLUTION.get(trial.data.dataset)
        if resolution is not None:
            _check_network(trial.model, resolution)


@functools.cache
def _check_network(config: ModelConfig, resolution: int) -> None:
    if config.architecture == "optimum":
        return
    # Shapes alone, no memory.
    with torch.device("meta"):
        build_network(config, resolution, channels=3, num_labels=0)


def check_data(trials: Sequence[Experiment]) -> dict[str, str]:
    """Load each distinct training set once, and check that the network takes its images.

    Subsets are nested: of the sets that differ in size alone only the largest is read.

    Returns:
        by the settings of each set that was read, the SHA-256 of its pixels.

    Raises:
        MemosweepError: what is wrong with the data.
    """
    if any(trial.evaluation.fid for trial in trials):
        inception()  # its absence would fail every trial
    largest: dict[DataConfig, DataConfig] = {}
    for trial in trials:
        at_any_size = _at_any_size(trial)
        if at_any_size not in largest or trial.data.size > largest[at_any_size].size:
            largest[at_any_size] = trial.data
    resolutions, pixels = {}, {}
    for key, config in largest.items():
        loaded = load_training_set(config)
        resolutions[key] = loaded.image_shape[1]
        pixels[_described(config)] = loaded.pixels_sha256
    for trial in trials:
        resolution = resolutions[_at_any_size(trial)]
        try:
            trial.model.check_resolution(resolution)
            _check_network(trial.model, resolution)
        except MemosweepError as error:
            raise MemosweepError(f"{error} ({trial.data.dataset})") from None
    return pixels


def _described(config: DataConfig) -> str:
    """Return the settings of a training set that are not the default, such as `dataset=cifar10 size=1000`."""
    settings = config.model_dump(exclude_defaults=True, mode="json")
    settings = {"dataset": config.dataset, "size": config.size, **settings}
    return " ".join(f"{name}={value}" for name, value in settings.items())


def _at_any_size(trial: Experiment) -> DataConfig:
    return trial.data.model_copy(update={"size": 2})
