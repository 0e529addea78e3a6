"""The processes of a trial on several GPUs: the trial's own is rank 0, and starts the others in its placement group.

Tune reserves a bundle for each rank, on one node or on several, all of them at once: two trials can never each hold a
half of what they need. Ray Train, started within a trial, would reserve its workers in a group of its own, of which
Tune knows nothing.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from memo_core.errors import DivergedError, MemosweepError, ProcessLostError, first_line
from memo_core.experiment import Experiment, FlatExperiment
from memo_core.memory import memory_errors
from memo_core.training.steps.distributed import Ranks, joined
from memo_core.training.trainer import Trainer
from sweeps.engine.cluster.data_sets import DataSets

_LOOK_SECONDS = 5.0
_GRACE_SECONDS = 30.0
"""For rank 0 to notice by itself that another has died, before its own process ends."""

Bundles = Sequence[Mapping[str, float]]


class Follower:
    """A rank beside the first, as a Ray actor in a process of its own."""

    def follow(
        self, experiment: FlatExperiment, address: str, rank: int, bundles: Bundles, data_sets: DataSets | None
    ) -> None:
        """Train beside rank 0 to the end; both end alike where the training diverges."""
        own = Experiment.from_flat(experiment)
        torch.set_num_threads(threads_of(bundles[rank]))
        host = ray.util.get_node_ip_address()
        # An error within ends the connection, by which rank 0 notices.
        with joined(address, rank, len(bundles), host) as ranks, contextlib.suppress(DivergedError):
            if data_sets is not None:
                data_sets.provide(own.data)
            with memory_errors("at its start", "lower model.width, or take a device with more memory"):
                trainer = Trainer(own, device_of(bundles[rank]), ranks=ranks)
            trainer.share_state()
            trainer.follow()


def device_of(bundle: Mapping[str, float]) -> str:
    """Return the device of a rank: the GPU that Ray gave to its process, which sees no other."""
    return "cuda" if bundle.get("GPU", 0) > 0 else "cpu"


def threads_of(bundle: Mapping[str, float]) -> int:
    """Return one thread for each reserved CPU, so that trials side by side do not fight."""
    return max(1, int(bundle.get("CPU", 1)))


@contextlib.contextmanager
def followed(
    experiment: Experiment, bundles: Bundles, data_sets: DataSets | None, note: Callable[[str], None]
) -> Iterator[Ranks | None]:
    """Start the other ranks of the trial of this process, and end them with it; None for a trial of one rank.

    Args:
        experiment: of the trial.
        bundles: what each rank reserves, rank 0 first.
        data_sets: of the driver's machine, where trials run on others too.
        note: takes a line for the user, where this process must end over another that failed.

    Raises:
        ProcessLostError: another rank's process, or its machine, is gone.
        Exception: what another rank failed with.
    """
    if len(bundles) < 2:
        yield None
        return
    host = ray.util.get_node_ip_address()
    address = f"{host}:{_free_port()}"
    group = ray.util.get_current_placement_group()
    actors, tasks = [], []
    for rank, bundle in enumerate(bundles[1:], 1):
        place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
        options = {"num_cpus": bundle.get("CPU", 0), "num_gpus": bundle.get("GPU", 0), "scheduling_strategy": place}
        actors.append(ray.remote(Follower).options(**options).remote())
        tasks.append(actors[-1].follow.remote(experiment.to_flat(), address, rank, list(bundles), data_sets))
    watch = _Watch(tasks, note)
    try:
        with joined(address, 0, len(bundles), host) as ranks:
            yield ranks
    except MemosweepError:
        raise
    except Exception as error:
        # What rank 0 sees of it is a connection that was closed.
        raise watch.failure() or error from error
    finally:
        watch.stop()
        for actor in actors:
            ray.kill(actor)


class _Watch:
    """Notices that a rank has failed, for which rank 0 would otherwise wait for hours."""

    def __init__(self, tasks: Sequence[Any], note: Callable[[str], None]) -> None:
        self._tasks, self._note = list(tasks), note
        self._ended = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def failure(self) -> Exception | None:
        """Return why a rank failed; None where none has."""
        # One that has just died is known to be dead a moment later.
        ended, _ = ray.wait(self._tasks, num_returns=len(self._tasks), timeout=_LOOK_SECONDS)
        for task in ended:
            try:
                ray.get(task)
            except RayTaskError as error:
                return error.cause if isinstance(error.cause, Exception) else error
            except RayError as error:
                return ProcessLostError(f"another process of the trial was lost ({first_line(error)})")
        return None

    def stop(self) -> None:
        """Look no longer."""
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            error = self.failure()
            if error is not None and not self._ended.wait(_GRACE_SECONDS):
                # It waits within a call that nothing breaks off; Tune tries the trial again.
                with contextlib.suppress(Exception):
                    self._note(f"one of its processes failed ({first_line(error)}), which ended all of them")
                os._exit(1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])
