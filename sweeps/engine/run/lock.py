"""One driver a run: a second one would train again what the first one trains, and overwrite its state."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.results.urls import is_local
from memo_core.errors import MemosweepError

FILE = ".driver.lock"


@contextlib.contextmanager
def only_driver(run_path: str) -> Iterator[None]:
    """Hold a run's folder for this process; the operating system lets go of it however the process ends.

    Runs behind a URL, and on file systems that know no locks, are not guarded. Makes the folder.

    Raises:
        MemosweepError: another process holds it.
    """
    with contextlib.ExitStack() as stack:
        if is_local(run_path):
            try:
                Path(run_path).mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(f"{run_path}/{FILE}", timeout=0))
            except Timeout:
                raise MemosweepError(
                    f"{run_path} is being run by another process: wait until it has ended, or stop it first"
                ) from None
            except (OSError, NotImplementedError):
                pass
        yield
