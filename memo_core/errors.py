"""The one error type that a user's mistake raises."""


class MemosweepError(ValueError):
    """Bad input: one line that names what is wrong, the value, and what would be right.

    Command lines print it without a traceback and exit with code 2.
    """
