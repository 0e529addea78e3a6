"""What a cluster can hold: the nodes that it has, and those that its autoscaler may start."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml

from memo_core.errors import MemosweepError, first_line

_CONFIG_OPTION = "--autoscaling-config="

_MOST = 10**6
"""Trials on one node whose CPUs are not known."""

Amounts = Mapping[Literal["cpu", "gpu"], float]


def ranks_of(trial: Amounts) -> int:
    """Return how many processes train a trial together: one for each whole GPU."""
    return max(1, int(trial.get("gpu", 0)))


def share_of_rank(trial: Amounts) -> dict[Literal["cpu", "gpu"], float]:
    """Return what each process of a trial reserves, on one node; the processes may be on several."""
    return {name: amount / ranks_of(trial) for name, amount in trial.items()}


@dataclass(frozen=True)
class Nodes:
    """Nodes that are alike."""

    cpus: float
    """Of one node; infinite where that is not known."""
    gpus: float
    """Of one node."""
    count: int = 1

    def holds(self, trial: Amounts) -> int:
        """Return how many trials, or processes of trials, one of these nodes holds at once."""
        pairs = [(self.cpus, trial.get("cpu", 0)), (self.gpus, trial.get("gpu", 0))]
        shares = [there / amount for there, amount in pairs if amount > 0]
        return int(min(_MOST, *shares) + 1e-9) if shares else 1


@dataclass(frozen=True)
class Capacity:
    """The most that a cluster can become."""

    fixed: Sequence[Nodes]
    """Nodes that are there whatever happens."""
    startable: Sequence[Nodes] = ()
    """Nodes that can be started, each kind up to its count."""
    most_started: int = 10**6
    """Of all kinds together."""

    @property
    def kinds(self) -> list[Nodes]:
        """All nodes."""
        return [*self.fixed, *self.startable]

    def at_once(self, trial: Amounts) -> int:
        """Return how many trials the largest cluster holds at once."""
        part = share_of_rank(trial)
        return self._sum(lambda nodes: nodes.holds(part)) // ranks_of(trial)

    @property
    def gpus(self) -> int:
        """The GPUs of the largest cluster."""
        return self._sum(lambda nodes: int(nodes.gpus))

    @property
    def cpus(self) -> int:
        """The CPUs of the largest cluster, as far as they are known."""
        return self._sum(lambda nodes: int(nodes.cpus) if math.isfinite(nodes.cpus) else 0)

    def _sum(self, amount: Any) -> int:
        total, left = sum(amount(nodes) * nodes.count for nodes in self.fixed), self.most_started
        for nodes in sorted(self.startable, key=amount, reverse=True):
            started = min(left, nodes.count)
            total += amount(nodes) * started
            left -= started
        return int(total)


def present(nodes: Iterable[Mapping[str, Any]]) -> Capacity:
    """Return what the nodes of `ray.nodes()` that are alive hold."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    counts = Counter((float(has.get("CPU", 0)), float(has.get("GPU", 0))) for has in alive)
    return Capacity([Nodes(cpus, gpus, count) for (cpus, gpus), count in counts.items()])


def capacity_of_config(config: Mapping[str, Any]) -> Capacity:
    """Return what a cluster can become by the configuration of Ray's autoscaler.

    Args:
        config: as `cluster.yaml` has it, prepared by `ray up`.
    """
    fixed, startable = [], []
    for name, kind in config["available_node_types"].items():
        has = kind.get("resources") or {}
        nodes = Nodes(float(has.get("CPU", 0)), float(has.get("GPU", 0)))
        if name == config.get("head_node_type"):
            fixed.append(nodes)
        count = int(kind.get("max_workers", config.get("max_workers", 0)))
        if count > 0:
            startable.append(replace(nodes, count=count))
    return Capacity(fixed, startable, int(config.get("max_workers", 0)))


def capacity_of_groups(config: Any) -> Capacity | None:
    """Return what a cluster can become by Ray's own record of it (`ClusterConfig`); None where it has none."""
    groups = [group for group in getattr(config, "node_group_configs", ()) if group.max_count]
    if not groups:
        return None
    kinds = []
    for group in groups:
        count = group.max_count if group.max_count > 0 else 10**6  # -1 is without a limit
        kinds.append(Nodes(group.resources.get("CPU", 0), group.resources.get("GPU", 0), count))
    return Capacity([], kinds)


def growth(there: Capacity, gcs_address: str, max_gpus: int | None) -> Capacity | None:
    """Return what the joined cluster can become; None for one that does not grow, or that does not say how far.

    The first that is known of: `--max-gpus`; Ray's own record; the configuration that the autoscaler on this machine
    runs with, which is `~/ray_bootstrap_config.yaml` on the head of a cluster of `ray up`.

    Args:
        there: what the cluster has at present.
        gcs_address: host:port of the cluster.
        max_gpus: what `--max-gpus` says.

    Raises:
        MemosweepError: the configuration cannot be read.
    """
    if max_gpus is not None:
        return Capacity(there.fixed, [Nodes(math.inf, max_gpus - there.gpus)] if max_gpus > there.gpus else [])
    grown = _recorded() or _configured(gcs_address)
    # Nodes count that are there without the autoscaler.
    return there if grown is not None and (there.gpus, there.cpus) > (grown.gpus, grown.cpus) else grown


def _recorded() -> Capacity | None:
    from ray._private.state import state  # noqa: PLC0415 (seconds to import)

    with contextlib.suppress(Exception):  # not a public interface; open-source Ray has mostly nothing to say
        return capacity_of_groups(state.get_cluster_config())
    return None


def _configured(gcs_address: str) -> Capacity | None:
    file = autoscaler_config(gcs_address)
    if file is None:
        return None
    try:
        return capacity_of_config(yaml.safe_load(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        message = f"{file}: cannot be read as the configuration of Ray's autoscaler ({first_line(error)})"
        raise MemosweepError(f"{message}; --max-gpus says how far the cluster grows") from None


def autoscaler_config(gcs_address: str) -> Path | None:
    """Return the configuration of the autoscaler that runs on this machine for a cluster; None without one."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if f"--gcs-address={gcs_address}" in line:
            for argument in line:
                if argument.startswith(_CONFIG_OPTION):
                    return Path(argument.removeprefix(_CONFIG_OPTION)).expanduser()
    return None
