"""The errors that a user can act on, and how other errors and foreign values are quoted in their one line."""

import re
import reprlib
from typing import Any


class MemosweepError(ValueError):
    """Bad input: one line that names what is wrong, the value, and what would be right.

    Command lines print it without a traceback and exit with code 2.
    """


class NotFiniteError(MemosweepError):
    """Samples that are NaN or infinite: the network is broken, or its training diverged."""


class OtherTrainingError(MemosweepError):
    """A checkpoint of a training with other settings, or of other images behind the same path; it is not damaged."""


class StorageError(MemosweepError):
    """A place that cannot be reached or written at present, such as a network disk; later it may be."""


class ProcessLostError(MemosweepError):
    """One of the processes that train together is gone; the training itself is not at fault, and may be tried again."""


class ExhaustedError(MemosweepError):
    """The machine ran out of something; the experiment itself is not at fault, and with more room it goes on.

    To try again at once is as little use: somebody must make room first.
    """


class StorageFullError(ExhaustedError):
    """A disk is full, or a quota is used up."""


class MemoryExhaustedError(ExhaustedError):
    """The memory of a GPU, or of the machine, does not suffice."""


class DivergedError(MemosweepError):
    """A training that went on to numbers that are not finite; the same settings always end here.

    Attributes:
        images_seen: when it was found, including the images of that step.
        learning_rate: of that step; None where no step was made, as with a broken checkpoint.
        last_loss: the last finite loss per value before it; None where there was none.
    """

    def __init__(
        self, found: str, images_seen: int, learning_rate: float | None = None, last_loss: float | None = None
    ) -> None:
        # All of them, so that the error survives the way between processes.
        super().__init__(found, images_seen, learning_rate, last_loss)
        self.found = found
        self.images_seen, self.learning_rate, self.last_loss = images_seen, learning_rate, last_loss

    def __str__(self) -> str:
        """Say it in one line, with what to change."""
        known = [] if self.learning_rate is None else [f"learning rate {self.learning_rate:g}"]
        known += [] if self.last_loss is None else [f"last finite loss {self.last_loss:.3g}"]
        details = f" ({', '.join(known)})" if known else ""
        return (
            f"diverged at {self.images_seen:,} images seen: {self.found}{details}; "
            "lower training.learning_rate or raise training.warmup_epochs"
        )


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12


def quoted(value: Any) -> str:
    """Return a value of unknown origin as Python writes it, in at most 100 characters of one line.

    Neither line breaks nor terminal sequences of a text get through, and the work is bounded however deep the value is.
    """
    try:
        text = _SHORT.repr(value)
    except ValueError:
        # Python refuses to write out more than 4,300 digits.
        text = "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:97]}..."


def as_name(text: str) -> str:
    """Return a name of unknown origin: unchanged where it is a dotted name of up to 100 characters, else `quoted`."""
    return text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]{0,99}", text) else quoted(text)


def escaped(text: str) -> str:
    """Return a name with what cannot be printed as Python writes it, such as `\\n`; all else stays as it is."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, in at most 200 printable characters; its type where it is empty."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return "".join(character if character.isprintable() else "?" for character in line)
