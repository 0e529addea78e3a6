"""Read every trial's data before anything starts, so that a bad image stops a sweep at once."""

from collections.abc import Sequence

from memo_core.data import load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, FlatExperiment


def check_data(trials: Sequence[FlatExperiment]) -> None:
    """Load each distinct training set once, and check that the network takes its images.

    Subsets are nested: of the sets that differ in size alone only the largest is read.

    Raises:
        MemosweepError: what is wrong with the data.
    """
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
        except MemosweepError as error:
            raise MemosweepError(f"{error} ({experiment.data.dataset})") from None
