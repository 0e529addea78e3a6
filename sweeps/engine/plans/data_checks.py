"""What is checked of a plan's data before a sweep starts; reads them."""

import functools
from collections.abc import Mapping, Sequence

import torch

from memo_core.data import TrainingSet, load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import DataConfig, Experiment, ModelConfig, TextConfig
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
    sets, pixels = {}, {}
    for key, config in largest.items():
        loaded = load_training_set(config)
        sets[key] = loaded
        pixels[_described(config)] = loaded.pixels_sha256
    _check_fine_tunings(trials, sets)
    for trial in trials:
        if trial.model.architecture == "pipeline":
            continue
        resolution = sets[_at_any_size(trial)].image_shape[1]
        try:
            trial.model.check_resolution(resolution)
            check_network(trial.model, resolution)
            _check_memory(trial.model, resolution)
        except MemosweepError as error:
            raise MemosweepError(f"{error} ({trial.data.dataset})") from None
    return pixels


def _check_fine_tunings(trials: Sequence[Experiment], sets: Mapping[DataConfig, TrainingSet]) -> None:
    """Check each pipeline and each kind of prompt once for each training set."""
    checked: set[tuple[DataConfig, TextConfig]] = set()
    for trial in trials:
        if trial.model.architecture != "pipeline":
            continue
        from memo_core.text.checks import check_fine_tuning  # noqa: PLC0415 - diffusers, which is an extra

        data = _at_any_size(trial)
        text = trial.text.model_copy(update={"method": "full", "lora_rank": None})
        if (data, text) not in checked:
            checked.add((data, text))
            check_fine_tuning(trial, sets[data])


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
    if config.architecture not in ("optimum", "pipeline"):
        # Shapes alone, no memory.
        with torch.device("meta"):
            build_network(config, resolution, channels=3, num_labels=0)
