"""Read every trial's data before anything starts, so that a bad image stops a sweep at once."""

import functools
from collections.abc import Sequence

import torch

from memo_core.data import load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import EMBEDDED_RESOLUTION, Experiment, FlatExperiment, ModelConfig
from memo_core.measure.fid import inception
from memo_core.model import UNet


@functools.cache
def _check_network(config: ModelConfig, resolution: int, channels: int, num_labels: int) -> None:
    # Shapes alone, no memory: what a network cannot be built of shows here.
    with torch.device("meta"):
        UNet(config, resolution, channels, num_labels)


def check_networks(trials: Sequence[FlatExperiment]) -> None:
    """Build the shapes of each distinct network, at the resolutions that are known without reading data.

    Raises:
        MemosweepError: a network that cannot be.
    """
    for flat in trials:
        experiment = Experiment.from_flat(flat)
        resolution = experiment.data.resolution or EMBEDDED_RESOLUTION.get(experiment.data.dataset)
        if resolution is not None and experiment.model.architecture != "optimum":
            _check_network(experiment.model, resolution, 3, 0)


def check_data(trials: Sequence[FlatExperiment]) -> None:
    """Load each distinct training set once, and check that the network takes its images.

    Subsets are nested: of the sets that differ in size alone only the largest is read.

    Raises:
        MemosweepError: what is wrong with the data.
    """
    if any(flat["evaluation.fid"] for flat in trials):
        inception()  # its absence would fail every trial
    largest: dict[str, Experiment] = {}
    experiments = [Experiment.from_flat(flat) for flat in trials]
    for experiment in experiments:
        key = experiment.data.model_copy(update={"size": 2}).model_dump_json()
        if key not in largest or experiment.data.size > largest[key].data.size:
            largest[key] = experiment
    resolutions: dict[str, int] = {}
    for key, experiment in largest.items():
        resolutions[key] = load_training_set(experiment.data).image_shape[1]
    for experiment in experiments:
        key = experiment.data.model_copy(update={"size": 2}).model_dump_json()
        try:
            experiment.model.check_resolution(resolutions[key])
            if experiment.model.architecture != "optimum":
                _check_network(experiment.model, resolutions[key], 3, 0)
        except MemosweepError as error:
            raise MemosweepError(f"{error} ({experiment.data.dataset})") from None
