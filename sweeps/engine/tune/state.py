"""What Tune saved of a run: found in its folder, and tried before the run is resumed.

Over a damaged state Tune starts the experiment from the beginning without a word, and trains everything again.
"""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ray import cloudpickle
from ray.tune.experiment import Trial

from analysis.results.store import STATE_PREFIX, join_url, open_location
from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import Experiment
from sweeps.engine.plans.manifest import unreachable

_GENERATOR, _SEARCHER = "search_gen_state-", "searcher-state-"
STATE_FILES = (STATE_PREFIX, _GENERATOR, _SEARCHER)
"""How the names of the files start that Tune saves of a run; the time of the session follows."""

State = TypeVar("State", bound=BaseModel)


def parsed(model: type[State], content: bytes | str, where: str) -> State:
    """Return a searcher's saved state, validated; MemosweepError of one line where it is damaged."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"][:5]) or "the file"
        raise MemosweepError(f"{where}: the saved search is damaged ({place}: {first['msg'][:200]})") from None


def saved_state(run_path: str, prefix: str = _SEARCHER) -> bytes | None:
    """Return the newest state that Tune saved of a run's searcher; None where there is none.

    Args:
        run_path: folder or URL of the run.
        prefix: how the file's name starts; Tune puts the time behind it.

    Raises:
        MemosweepError: the folder or the file cannot be read.
    """
    with unreachable(f"{join_url(run_path, prefix)}...: cannot be read"):
        filesystem, path = open_location(run_path)
        try:
            # Not by a pattern, in which the brackets of a folder's name would have a meaning.
            names = [str(name).rstrip("/").rpartition("/")[2] for name in filesystem.ls(path, detail=False)]
            found = max((name for name in names if name.startswith(prefix)), default=None)
            return None if found is None else bytes(filesystem.cat_file(f"{path}/{found}"))
        except FileNotFoundError:
            return None


def check_saved_state(run_path: str, searcher: Any) -> None:
    """Read all that Tune would read to resume a run.

    Args:
        run_path: folder or URL of the run.
        searcher: a fresh one of the run, which is used up.

    Raises:
        MemosweepError: a part is damaged; one line.
    """
    checks: dict[str, Callable[[bytes], Any]] = {
        STATE_PREFIX: _check_trials,
        _GENERATOR: cloudpickle.loads,
        _SEARCHER: partial(restore_bytes, searcher),
    }
    for prefix, check in checks.items():
        content = saved_state(run_path, prefix)
        try:
            if content is not None:
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


def restore_bytes(searcher: Any, content: bytes) -> None:
    """Restore a searcher of Tune, which reads files alone, from the bytes of one."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        state.write_bytes(content)
        searcher.restore(str(state))
