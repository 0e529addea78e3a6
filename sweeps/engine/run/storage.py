"""Whether a run can lie where `--storage-path` says: found out before anything is trained."""

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.results.store import is_local, join_url, local_path, open_location
from memo_core.errors import MemosweepError, first_line
from sweeps.engine.cluster.limited import limited
from sweeps.engine.cluster.session import Cluster
from sweeps.engine.plans.manifest import unreachable

_ANSWER_SECONDS = 20.0


def check_storage(storage: str, cluster: Cluster, shared: bool = False) -> None:
    """Check that a URL can be written, and that a folder is one that all nodes of a cluster have.

    A file of another name than any of a run's is written and removed again.

    Args:
        storage: absolute folder or URL.
        cluster: where the trials will run.
        shared: the user says that later nodes of a cluster will have the folder too.

    Raises:
        MemosweepError: the place cannot be reached or written, or the nodes do not have it; and what to give instead.
    """
    if not is_local(storage):
        _check_url(storage)
        if cluster.several:
            _check_url_elsewhere(storage)
    elif cluster.several:
        _check_shared(Path(local_path(storage)), cluster, shared)


def _check_url(url: str) -> None:
    with unreachable(f"--storage-path: {url} cannot be reached"):
        open_location(url)
    with unreachable(f"--storage-path: {url} cannot be written"):
        try:
            limited(lambda: write_probe(url), _ANSWER_SECONDS)
        except TimeoutError:
            raise OSError(f"no answer within {_ANSWER_SECONDS:g} s") from None


def write_probe(url: str) -> None:
    """Write a small object into a place, and remove it again."""
    filesystem, probe = open_location(join_url(url, _probe_name()))
    filesystem.pipe_file(probe, b"may be removed")
    with contextlib.suppress(OSError):  # who may write need not be allowed to remove; trials will say it then
        filesystem.rm_file(probe)


def _check_url_elsewhere(url: str) -> None:
    """Check that the nodes that run at present can write to a URL: roles and packages of workers may differ."""
    answers = _ask(reason_against, url, _other_nodes())
    blind = {address: answer for address, answer in answers.items() if answer}
    if blind:
        address, reason = next(iter(blind.items()))
        more = f" and {len(blind) - 1} further nodes" if len(blind) > 1 else ""
        raise MemosweepError(
            f"--storage-path: {url} cannot be written from the node {address}{more} ({reason}); workers need the "
            "credentials, and the packages, too"
        )


def reason_against(url: str) -> str:
    """Return why this machine cannot write to a URL, empty where it can."""
    try:
        write_probe(url)
    except Exception as error:  # whatever a store's client raises
        return f"{type(error).__name__}: {first_line(error)}"
    return ""


def _check_shared(folder: Path, cluster: Cluster, shared: bool) -> None:
    others = _other_nodes()
    advice = (
        "give a URL, such as --storage-path s3://bucket/results, or a folder that all nodes share (NFS), "
        "by the same path and writable"
    )
    if not others:
        if not shared:
            raise MemosweepError(
                f"--storage-path {folder}: the trials will run on nodes that are yet to start, which may not have this "
                f"folder: {advice}, and say so by --shared-storage"
            )
        return
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    marker = there / _probe_name()
    with unreachable(f"--storage-path: {folder} cannot be written"):
        marker.write_text("may be removed")
    try:
        blind = _without(marker, others)
    finally:
        marker.unlink(missing_ok=True)
    if blind:
        which = f"the node {blind[0]} does" if len(blind) == 1 else f"{len(blind)} nodes ({', '.join(blind[:3])}) do"
        raise MemosweepError(f"--storage-path {folder}: {which} not have this folder: {advice}")


def _probe_name() -> str:
    return f".memosweep-{secrets.token_hex(6)}"


def _other_nodes() -> dict[str, str]:
    """Return the nodes other than this one, identity to address."""
    import ray  # noqa: PLC0415 (seconds to import)

    here = ray.get_runtime_context().get_node_id()
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    return {identity: address for identity, address in nodes.items() if identity != here}


def _without(marker: Path, nodes: dict[str, str]) -> list[str]:
    """Return the addresses of the nodes that do not have a file beside which they can write, or do not answer."""
    return [address for address, seen in _ask(can_write_beside, str(marker), nodes).items() if seen is not True]


def _ask(function: Callable[[str], Any], argument: str, nodes: dict[str, str]) -> dict[str, Any]:
    """Return what a function says on each node, by address; why there is no answer, where there is none."""
    import ray  # noqa: PLC0415
    from ray.exceptions import GetTimeoutError  # noqa: PLC0415
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    asked = {}
    for identity, address in nodes.items():
        here = NodeAffinitySchedulingStrategy(identity, soft=False)
        asked[task.options(scheduling_strategy=here).remote(argument)] = address
    ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)
    answers = {}
    for answer, address in asked.items():
        try:
            answers[address] = ray.get(answer, timeout=0)
        except Exception as error:  # a node that is lost, late, or without this package
            late = isinstance(error, GetTimeoutError)
            answers[address] = f"no answer within {_ANSWER_SECONDS:g} s" if late else first_line(error)
    return answers


def can_write_beside(marker: str) -> bool:
    """Return whether a file is there, and its folder can be written."""
    file = Path(marker)
    beside = file.with_name(f"{file.name}-{secrets.token_hex(3)}")
    try:
        beside.write_text("may be removed")
        beside.unlink()
    except OSError:
        return False
    return file.exists()
