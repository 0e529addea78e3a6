"""What is checked of a plan's data before a sweep starts; reads them."""

import functools
from collections.abc import Sequence

import torch

from memo_core.data import load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import DataConfig, Experiment, ModelConfig
from memo_core.measure.fid import inception
from memo_core.model import build_network
from sweeps.engine.plans.checks import check_network


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
            check_network(trial.model, resolution)
            _check_memory(trial.model, resolution)
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


@functools.cache
def _check_memory(config: ModelConfig, resolution: int) -> None:
    """Refuse a network that PyTorch cannot hold."""
    if config.architecture != "optimum":
        # Shapes alone, no memory.
        with torch.device("meta"):
            build_network(config, resolution, channels=3, num_labels=0)
