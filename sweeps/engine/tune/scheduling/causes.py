"""Why a trial failed, in one line, from the text of its error."""

import re
from collections.abc import Mapping

_MAX_CHARACTERS = 200
_OUT_OF_MEMORY = re.compile(
    r"killed due to the node running low on memory.*?\(IP: (?P<ip>[^,)]+).*?"
    r"was (?P<used>\S+) used / (?P<limit>\S+) limit",
    re.DOTALL,
)
"""Ray's memory monitor, which kills before the kernel would."""
_RAY: Mapping[str, str] = {
    "node was preempted": "its machine was preempted",
    "node has died": "its machine was lost",
    "is temporarily unavailable": "its machine or its process was lost: no answer from it",
    "worker process has died": "its process was killed or crashed, without a Python error",
}
"""By a part of Ray's own messages, in words; the first that fits."""
_FRAME = re.compile(r'^\s+File ".*", line \d+', re.MULTILINE)


def cause_of(error_text: str) -> str:
    """Return the cause of a trial's last failure in one line.

    Args:
        error_text: a traceback, the message of one of Ray's errors, or an `error.txt` of Tune with several of them.

    Returns:
        What Ray says of a process that was killed, of a lost machine and of exhausted memory, in short; of a Python
        error its type and message. At most 200 printable characters, never empty.
    """
    last = re.split(r"^Failure # \d+ .*$", error_text, flags=re.MULTILINE)[-1].strip()
    memory = _OUT_OF_MEMORY.search(last)
    if memory:
        return f"out of memory: Ray ended it when {memory['ip']} had {memory['used']} of {memory['limit']} in use"
    frames = list(_FRAME.finditer(last))
    if frames:
        return _one_line(_message(last[frames[-1].end() :]) or last.splitlines()[-1])
    for part, cause in _RAY.items():
        if part in last:
            return cause
    return _one_line(last.splitlines()[-1]) if last else "no error was recorded"


def _message(after_frame: str) -> str:
    """Return an exception's type and message, which follow the last frame's source; a message may have many lines."""
    lines = after_frame.splitlines()[1:]
    # The frame's source and the carets below it are indented.
    while lines and (not lines[0].strip() or lines[0][0].isspace()):
        del lines[0]
    return " ".join(line.strip() for line in lines if line.strip())


def _one_line(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text).strip()
    return shown if len(shown) <= _MAX_CHARACTERS else f"{shown[: _MAX_CHARACTERS - 3]}..."
