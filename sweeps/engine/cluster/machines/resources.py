"""What each trial reserves."""

import math
from collections.abc import Mapping
from typing import Literal

from memo_core.errors import MemosweepError
from sweeps.engine.cluster.machines.capacity import ranks_of, share_of_rank
from sweeps.engine.cluster.session import Cluster

Resources = dict[Literal["cpu", "gpu"], float]
"""Of one trial."""


def trial_resources(cluster: Cluster, gpus_per_trial: float | None, cpus_per_trial: float | None) -> Resources:
    """Return the CPUs and GPUs of one trial.

    Unless requested otherwise: one GPU each where there are GPUs, or can be; one CPU each, or an even share of a
    node's CPUs among the trials that its GPUs can hold. Several GPUs, and their CPUs, may be on several nodes.

    Raises:
        MemosweepError: the nodes that the cluster has or can start do not hold such a trial.
    """
    kinds = cluster.capacity.kinds
    gpus = (1.0 if cluster.gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
    if not math.isfinite(gpus) or gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise MemosweepError(f"--gpus-per-trial {gpus}: expected a fraction of one GPU or a whole number")
    if gpus > cluster.capacity.gpus:
        raise MemosweepError(f"--gpus-per-trial {gpus:g}: {cluster.description}")
    ranks = ranks_of({"gpu": gpus})
    holders = [nodes for nodes in kinds if nodes.gpus >= gpus / ranks]
    known = [nodes for nodes in holders if math.isfinite(nodes.cpus)]
    cpus: float = 1
    if gpus and known:
        of_gpu = gpus / ranks
        share = min(nodes.cpus / max(1, int(nodes.gpus / of_gpu + 1e-9)) for nodes in known)
        # Processes of one trial may share a CPU, where a node has fewer of them than GPUs.
        cpus = ranks * (int(share) if share >= 1 else share if ranks > 1 else 1)
    if cpus_per_trial is not None:
        most_cpus = ranks * max(nodes.cpus for nodes in holders)
        if not math.isfinite(cpus_per_trial) or cpus_per_trial <= 0 or cpus_per_trial > most_cpus:
            where = " of a node with those GPUs" if gpus and len(kinds) > 1 else ""
            raise MemosweepError(
                f"--cpus-per-trial {cpus_per_trial:g}: expected above 0 and at most {most_cpus:g}, the CPUs{where}"
            )
        cpus = cpus_per_trial
    resources: Resources = {"cpu": cpus, "gpu": gpus}
    check_holds(cluster, resources)
    return resources


def check_holds(cluster: Cluster, resources: Mapping[Literal["cpu", "gpu"], float]) -> None:
    """Refuse trials that would wait for ever.

    Raises:
        MemosweepError: the nodes that the cluster has or can start do not hold one.
    """
    if not cluster.capacity.at_once(resources):
        ranks, part = ranks_of(resources), share_of_rank(resources)
        amounts = f"{part.get('cpu', 0):g} CPUs and {part.get('gpu', 0):g} GPUs on one node"
        times = f"{ranks} times " if ranks > 1 else ""
        raise MemosweepError(f"a trial needs {times}{amounts}, and {cluster.description}")
