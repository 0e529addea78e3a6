"""What each trial reserves."""

import math
from collections.abc import Mapping
from typing import Literal

from memo_core.errors import MemosweepError
from sweeps.engine.cluster.session import Cluster


def trial_resources(
    cluster: Cluster, gpus_per_trial: float | None, cpus_per_trial: float | None
) -> dict[Literal["cpu", "gpu"], float]:
    """Return the CPUs and GPUs of one trial.

    Unless requested otherwise: one GPU each where there are GPUs, or can be; one CPU each, or an even share of a
    node's CPUs among the trials that its GPUs can hold.

    Raises:
        MemosweepError: no node that the cluster has or can start holds such a trial.
    """
    kinds = cluster.capacity.kinds
    gpus = (1.0 if cluster.gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
    if not math.isfinite(gpus) or gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise MemosweepError(f"--gpus-per-trial {gpus}: expected a fraction of one GPU or a whole number")
    holders = [nodes for nodes in kinds if nodes.gpus >= gpus]
    if not holders:
        most = max((nodes.gpus for nodes in kinds), default=0)
        on_one = f", at most {most:g} of them on one node" if len(kinds) > 1 or kinds[0].count > 1 else ""
        raise MemosweepError(f"--gpus-per-trial {gpus:g}: {cluster.description}{on_one}")
    known = [nodes for nodes in holders if math.isfinite(nodes.cpus)]
    cpus: float = 1
    if gpus and known:
        cpus = max(1, min(int(nodes.cpus) // max(1, int(nodes.gpus / gpus + 1e-9)) for nodes in known))
    if cpus_per_trial is not None:
        most_cpus = max(nodes.cpus for nodes in holders)
        if not math.isfinite(cpus_per_trial) or cpus_per_trial <= 0 or cpus_per_trial > most_cpus:
            where = " of a node with those GPUs" if gpus and len(kinds) > 1 else ""
            raise MemosweepError(
                f"--cpus-per-trial {cpus_per_trial:g}: expected above 0 and at most {most_cpus:g}, the CPUs{where}"
            )
        cpus = cpus_per_trial
    resources: dict[Literal["cpu", "gpu"], float] = {"cpu": cpus, "gpu": gpus}
    check_holds(cluster, resources)
    return resources


def check_holds(cluster: Cluster, resources: Mapping[Literal["cpu", "gpu"], float]) -> None:
    """Refuse trials that would wait for ever.

    Raises:
        MemosweepError: no node that the cluster has or can start holds one.
    """
    if not cluster.capacity.at_once(resources):
        amounts = f"{resources.get('cpu', 0):g} CPUs and {resources.get('gpu', 0):g} GPUs"
        raise MemosweepError(f"a trial needs {amounts} on one node, and {cluster.description}")
