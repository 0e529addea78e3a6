"""What goes wrong while results are read."""


class AnalysisError(ValueError):
    """Bad input or results that cannot be read: one line that says what is wrong and what would be right.

    Command lines print it without a traceback and exit with code 2.
    """


class SkippedResultsWarning(UserWarning):
    """Part of a result folder could not be read; the rest was."""
