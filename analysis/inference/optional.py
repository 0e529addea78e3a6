"""The one door for libraries that only some commands need: imported when asked for, with the way out in the error."""

from importlib import import_module
from typing import Any

from analysis.errors import AnalysisError


def optuna() -> Any:
    """The module `optuna`, quiet.

    Raises:
        AnalysisError: it is not installed.
    """
    try:
        module = import_module("optuna")
        # Its evaluators load scikit-learn only when they are used.
        import_module("sklearn.ensemble")
    except ImportError as error:
        raise AnalysisError(
            f"importances need Optuna and scikit-learn ({error}): python -m pip install optuna scikit-learn"
        ) from None
    module.logging.set_verbosity(module.logging.ERROR)
    return module
