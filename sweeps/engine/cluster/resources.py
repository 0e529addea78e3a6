"""What each trial reserves."""

import math
from typing import Literal

from memo_core.errors import MemosweepError
from sweeps.engine.cluster.session import Cluster


def trial_resources(
    cluster: Cluster, gpus_per_trial: float | None, cpus_per_trial: float | None
) -> dict[Literal["cpu", "gpu"], float]:
    """Return the CPUs and GPUs of one trial.

    Unless requested otherwise: one GPU each where there are GPUs; one CPU each, or an even share of the CPUs among the
    trials that the GPUs can hold (two at least where that is possible, one to feed the other to compute).

    Raises:
        MemosweepError: the cluster can never hold such a trial.
    """
    gpus = (1.0 if cluster.gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
    if not math.isfinite(gpus) or gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise MemosweepError(f"--gpus-per-trial {gpus}: expected a fraction of one GPU or a whole number")
    if gpus > cluster.gpus:
        raise MemosweepError(f"--gpus-per-trial {gpus:g}: {cluster.description}")
    at_once = int(cluster.gpus / gpus) if gpus else cluster.cpus
    cpus: float = max(1, cluster.cpus // max(1, at_once)) if gpus else 1
    if cpus_per_trial is not None:
        if not math.isfinite(cpus_per_trial) or cpus_per_trial <= 0 or cpus_per_trial > cluster.cpus:
            raise MemosweepError(f"--cpus-per-trial {cpus_per_trial:g}: expected above 0 and at most {cluster.cpus}")
        cpus = cpus_per_trial
    return {"cpu": cpus, "gpu": gpus}
