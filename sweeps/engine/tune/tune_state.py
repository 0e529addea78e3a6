"""What Tune saved of a run, tried before it is resumed.

Over a damaged state Tune starts the experiment from the beginning without a word, and trains everything again.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune.experiment import Trial

from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import Experiment
from sweeps.engine.tune.searcher_state import PREFIX, newest_file


def check_saved_state(run_path: str, searcher: Any) -> None:
    """Read all that Tune would read to resume a run.

    Args:
        run_path: folder or URL of the run.
        searcher: a fresh one of the run, which is used up; None for a grid that Tune multiplies out itself.

    Raises:
        MemosweepError: a part is damaged; one line.
    """
    for prefix, check in (
        ("experiment_state-", _check_trials),
        ("search_gen_state-", cloudpickle.loads),
        (PREFIX, None if searcher is None else lambda content: _check_searcher(searcher, content)),
    ):
        content = newest_file(run_path, prefix)
        if content is None or check is None:
            continue
        try:
            check(content)
        # Over damaged bytes, JSON, pickle and Tune fail in many ways.
        except Exception as error:
            what = f"{type(error).__name__}: {first_line(error)}"
            raise MemosweepError(
                f"{run_path}: {prefix}... of Tune is damaged ({what}); what was trained can be read, "
                "a new sweep trains the rest"
            ) from None


def _check_trials(content: bytes) -> None:
    for description, progress in json.loads(content)["trial_data"]:
        trial = Trial.from_json_state(description, stub=True)
        trial.restore_run_metadata(progress)
        Experiment.from_flat(trial.config)


def _check_searcher(searcher: Any, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        state.write_bytes(content)
        searcher.restore(str(state))
