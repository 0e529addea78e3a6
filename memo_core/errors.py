"""The one error type that a user's mistake raises, and how other errors are quoted in its line."""


class MemosweepError(ValueError):
    """Bad input: one line that names what is wrong, the value, and what would be right.

    Command lines print it without a traceback and exit with code 2.
    """


def first_line(error: BaseException) -> str:
    """The first line of an error's message, cut to 200 characters; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
