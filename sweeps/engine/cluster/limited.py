"""A call that is waited for only so long."""

import threading
from collections.abc import Callable


def limited(function: Callable[[], object], seconds: float) -> None:
    """Call a function in a thread of its own, and wait for it at most `seconds`.

    What it raises is raised here. Later its thread goes on, and does not keep the process from ending.

    Raises:
        TimeoutError: it takes longer.
    """
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if raised:
        raise raised[0]
