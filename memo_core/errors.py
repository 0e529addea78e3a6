"""The errors that a user can act on, and how other errors and foreign values are quoted in their one line."""

import difflib
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
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


class SamplesNotFiniteError(DivergedError):
    """A training whose samples are not finite, by its average or its sampler, while its own numbers still are."""


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


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 trial`, `2 trials`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def did_you_mean(given: object, known: Iterable[object], cutoff: float = 0.6) -> str | None:
    """Return `did you mean NAME?` with the nearest known name; None where none is near.

    Args:
        given: the name that is not known.
        known: those that are.
        cutoff: likeness from 0 to 1 (`difflib`) that a name must have.
    """
    near = difflib.get_close_matches(str(given)[:200], list(map(str, known)), n=1, cutoff=cutoff)
    return f"did you mean {near[0]}?" if near else None


_MOST_ENTRIES = 10_000
"""Of a folder, that are looked at for a name like the one that was given."""


def did_you_mean_path(path: str | Path) -> str | None:
    """Return `did you mean PATH?` for a path that does not exist, by the first of its folders that is misspelled."""
    path = Path(path)
    try:
        missing = next((part for part in [*reversed(path.parents), path] if not part.exists()), None)
        if missing is None:
            return None
        entries = [entry.name for entry, _ in zip(missing.parent.iterdir(), range(_MOST_ENTRIES), strict=False)]
    except OSError:
        return None
    near = difflib.get_close_matches(missing.name, [name for name in entries if name.isprintable()], n=1)
    return f"did you mean {missing.parent / near[0] / path.relative_to(missing)}?" if near else None


def reason_of(error: OSError, path: str | Path) -> str:
    """Return in words why a file cannot be read; of one that does not exist, with the name that may have been meant."""
    reason = error.strerror or str(error)
    hint = did_you_mean_path(path) if isinstance(error, FileNotFoundError) else None
    return f"{reason}, {hint}" if hint else reason


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, in at most 200 printable characters; its type where it is empty."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return "".join(character if character.isprintable() else "?" for character in line)
