"""`trials.jsonl`: what a run began and how it ended, one JSON object a line, in the order in which it happened.

A searcher is rebuilt from it (`replay`). It is no more than an order of events: which trials are done, their own
results say. A journal that is lost or cut costs a search at most the order of its results.
"""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from analysis.results.store import JOURNAL_FILE, is_local, join_url, local_path, open_location
from memo_core.errors import MemosweepError
from memo_core.experiment import FlatExperiment
from memo_core.files import write_atomically
from memo_core.results import experiment_id
from sweeps.engine.plans.manifest import unreachable
from sweeps.engine.plans.names import METRIC
from sweeps.engine.plans.ranges import STRICT
from sweeps.engine.search.base import TrialSearcher

_REMOTE_SECONDS = 5.0
"""Object stores know no appending: there the journal is written whole, at most this often."""
_KEPT = (METRIC, "images_seen", "training")
"""Of a trial's last report, what searchers learn from."""

Identity = Annotated[str, Field(pattern="^[0-9a-f]{12}$")]


class Begun(BaseModel):
    """A trial that a searcher proposed."""

    model_config = STRICT

    event: Literal["begun"] = "begun"
    key: str
    trial_id: Identity
    full: bool = False
    """Every slot was taken; see `TrialSearcher.suggest`."""


class Ended(BaseModel):
    """The end of a trial for its searcher."""

    model_config = STRICT

    event: Literal["ended"] = "ended"
    key: str | None
    """None where the searcher has learned from an earlier end, as of a trial whose results got lost."""
    trial_id: Identity
    status: Literal["terminated", "diverged", "error"]
    cause: str | None = None
    result: dict[str, Any] | None = None
    """Of a terminated trial, the part of its last report that searchers learn from."""


Event = Begun | Ended
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def ended(begun: Begun, result: Mapping[str, Any] | None, cause: str | None = None) -> Ended:
    """Return the end of a trial.

    Args:
        begun: its beginning.
        result: its last report, with `failure` and `cause` where it failed by its own account; None where it has none.
        cause: why it has none.
    """
    result = dict(result or {})
    names = {"key": begun.key, "trial_id": begun.trial_id}
    if result.get("failure") is not None or METRIC not in result:
        status: Literal["diverged", "error"] = "diverged" if result.get("failure") == "diverged" else "error"
        return Ended(**names, status=status, cause=str(result.get("cause") or cause or "no result"))
    return Ended(**names, status="terminated", result={name: result[name] for name in _KEPT if name in result})


class Journal:
    """The journal of one run.

    Args:
        run_path: folder or URL of the run.
        events: those that stand in it; see `read`.

    Raises:
        MemosweepError: it cannot be written.
    """

    def __init__(self, run_path: str, events: list[Event]) -> None:
        self.events = list(events)
        self._location = join_url(run_path, JOURNAL_FILE)
        self._written = 0.0

    @classmethod
    def read(cls, run_path: str) -> "Journal":
        """Return the journal of a run: as many of its lines as are whole, from the first on; none where there is none.

        Raises:
            MemosweepError: the place cannot be read.
        """
        with unreachable(f"{join_url(run_path, JOURNAL_FILE)}: cannot be read"):
            filesystem, path = open_location(run_path)
            try:
                content = bytes(filesystem.cat_file(f"{path}/{JOURNAL_FILE}"))
            except FileNotFoundError:
                content = b""
        events: list[Event] = []
        with contextlib.suppress(ValidationError):
            for line in content.splitlines():
                events.append(_EVENT.validate_json(line))
        return cls(run_path, events)

    def append(self, event: Event) -> None:
        """Write an event behind the others, to the disk before this returns where the run is a local folder."""
        self.events.append(event)
        if not is_local(self._location):
            if time.monotonic() - self._written > _REMOTE_SECONDS:
                self._try_to_write()
            return
        with unreachable(f"{self._location}: cannot be written"), Path(local_path(self._location)).open("a") as file:
            file.write(f"{event.model_dump_json()}\n")
            file.flush()
            os.fsync(file.fileno())

    def write(self) -> None:
        """Write all events anew, whole or not at all."""
        content = "".join(f"{event.model_dump_json()}\n" for event in self.events).encode()
        with unreachable(f"{self._location}: cannot be written"):
            if is_local(self._location):
                write_atomically(local_path(self._location), content)
            else:
                filesystem, path_there = open_location(self._location)
                filesystem.pipe_file(path_there, content)
        self._written = time.monotonic()

    def touch(self) -> None:
        """Give the file the present time; an object store, and a folder where it got lost, get it anew."""
        if is_local(self._location):
            with contextlib.suppress(OSError):
                os.utime(local_path(self._location))
                return
        self._try_to_write()

    def _try_to_write(self) -> None:
        """Write all events, unless the place is out of reach at present: the next time will do."""
        with contextlib.suppress(MemosweepError):
            self.write()


@dataclass(frozen=True)
class Replayed:
    """What a journal says of a run that goes on."""

    events: list[Event]
    """Those that follow from each other; the last may be new, where the searcher proposes another trial than it did."""
    live: dict[str, tuple[Begun, FlatExperiment]]
    """By key: trials that were begun and did not end."""
    ended: dict[str, tuple[Ended, FlatExperiment]]
    """By identity: the last end of each trial."""


def replay(searcher: TrialSearcher, events: Sequence[Event]) -> Replayed:
    """Bring a fresh searcher to where a journal ends, or to its first event that does not follow from those before."""
    followed: list[Event] = []
    live: dict[str, tuple[Begun, FlatExperiment]] = {}
    over: dict[str, tuple[Ended, FlatExperiment]] = {}
    for event in events:
        if isinstance(event, Begun):
            experiment = searcher.suggest(event.key, event.full)
            if not isinstance(experiment, dict):
                break
            begun = event.model_copy(update={"trial_id": experiment_id(experiment)})
            followed.append(begun)
            live[event.key] = begun, experiment
            if begun != event:
                break
        elif event.key is None and event.trial_id in over:
            over[event.trial_id] = event, over[event.trial_id][1]
            followed.append(event)
        elif event.key in live and live[event.key][0].trial_id == event.trial_id:
            _, experiment = live.pop(event.key)
            searcher.complete(event.key, event.result)
            over[event.trial_id] = event, experiment
            followed.append(event)
        else:
            break
    return Replayed(followed, live, over)
