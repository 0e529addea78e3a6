"""A contender in a process of its own: other software, in the memory and with the kernels of plain PyTorch."""

import multiprocessing
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch

from benchmarks.speed.machine import Machine, Run
from memo_core.errors import MemosweepError, first_line


class OwnProcess:
    """Calls of a run within a process of its own, which keeps no freed memory and measures itself.

    Args:
        make: makes the run there; a function of a module, or a `functools.partial` of one.
        machine: to measure on.

    Raises:
        MemosweepError: the run cannot be made; so does a call that fails.
    """

    def __init__(self, make: Callable[[], Run], machine: Machine) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, make, machine), daemon=True)
        process.start()
        theirs.close()
        # With the last reference to the run its process ends.
        weakref.finalize(self, _end, process, self._connection)
        self._answer()

    def __call__(self) -> None:
        """Call the run once."""
        self.seconds(1)

    def seconds(self, calls: int) -> float:
        """Call the run so many times; returns the seconds of a call, by the clock of its machine."""
        self._connection.send(calls)
        return self._answer()

    def _answer(self) -> float:
        try:
            answer = self._connection.recv()
        except EOFError:
            raise MemosweepError("its process ended") from None
        if isinstance(answer, str):
            raise MemosweepError(answer)
        return float(answer)


def _end(process: BaseProcess, connection: Connection) -> None:
    connection.close()
    process.terminate()
    process.join()


def _work(connection: Connection, make: Callable[[], Run], machine: Machine) -> None:
    torch.set_num_threads(machine.threads)
    try:
        run = make()
        connection.send(0.0)
        while True:
            calls = connection.recv()
            start = machine.clock()
            for _ in range(calls):
                run()
            connection.send((machine.clock() - start) / calls)
    except EOFError:
        return
    # Whatever a library raises: the other side says it.
    except Exception as error:
        connection.send(f"{type(error).__name__}: {first_line(error)}")
