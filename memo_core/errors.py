"""The one error type that a user's mistake raises, and how other errors and foreign values are quoted in its line."""

import re
import reprlib
from typing import Any


class MemosweepError(ValueError):
    """Bad input: one line that names what is wrong, the value, and what would be right.

    Command lines print it without a traceback and exit with code 2.
    """


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12


def quoted(value: Any) -> str:
    """A value of unknown origin as Python writes it, in at most 100 characters of one line.

    Neither line breaks nor terminal sequences of a text get through, and the work is bounded however deep the value is.
    """
    try:
        text = _SHORT.repr(value)
    except ValueError:
        # Python refuses to write out more than 4,300 digits.
        text = "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:97]}..."


def as_name(text: str) -> str:
    """A name of unknown origin: as it is where it is a plain dotted name of at most 100 characters, else `quoted`."""
    return text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]{0,99}", text) else quoted(text)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, cut to 200 printable characters; its type where it says nothing."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return "".join(character if character.isprintable() else "?" for character in line)
