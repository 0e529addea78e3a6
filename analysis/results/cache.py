"""What was parsed of an experiment, kept beside it, so that only new results are parsed again."""

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.results.sidecars import TrialState
from analysis.results.store import Store, read_file

CACHE_FILE = ".memosweep-cache.parquet"
_VERSION = 5
"""Raise it when what is parsed changes: older caches are then built again."""
_METADATA = b"memosweep"


@dataclass
class Trial:
    """One trial folder; its evaluations are rows of the experiment's frame."""

    folder: str
    """Its name inside the experiment folder."""
    stamp: list[float]
    """Of its `result.json` when it was read; see `Stamp`."""
    trial_id: str
    finished: bool
    """A result of it says `done`."""
    problems: list[str]
    """What could not be read of it."""
    odd: list[str]
    """Names of values that made no sense; see `TrialRecords`."""
    failure: str
    """`diverged` or `failed`; empty for a trial that did not break off."""


@dataclass
class Parsed:
    """One experiment as it was parsed."""

    trials: list[Trial] = field(default_factory=list)
    """Sorted by trial id."""
    evaluations: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"trial": pd.Series(dtype="int64")}))
    """`trial`, the position in `trials`, its dotted keys and the reported numbers; by trial and images seen."""
    journal: list[Any] | None = None
    """Stamp of the journal behind `states`."""
    states: dict[str, TrialState] = field(default_factory=dict)
    """By trial id."""
    state_problems: list[str] = field(default_factory=list)
    """What could not be read of the journal."""


def read_cache(store: Store) -> Parsed:
    """Return what was parsed before; nothing where there is no cache, an older one, or a broken one."""
    content = read_file(store, CACHE_FILE)
    if isinstance(content, OSError):
        return Parsed()
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        described = json.loads(zlib.decompress(base64.b64decode((table.schema.metadata or {})[_METADATA])))
        if described["version"] != _VERSION or described["columns"] != _columns(table):
            return Parsed()
        return Parsed(
            [Trial(*entry) for entry in described["trials"]],
            _to_frame(table),
            described["journal"],
            {key: TrialState(*entry) for key, entry in described["states"].items()},
            described["state_problems"],
        )
    except (pa.ArrowException, KeyError, ValueError, TypeError, zlib.error, OSError):
        # A cache is never worth an error: it is built again.
        return Parsed()


def write_cache(store: Store, parsed: Parsed) -> None:
    """Write what was parsed.

    Raises:
        OSError: the folder cannot be written.
    """
    table = pa.Table.from_pandas(parsed.evaluations, preserve_index=False)
    described = {
        "version": _VERSION,
        "columns": _columns(table),
        "trials": [list(vars(trial).values()) for trial in parsed.trials],
        "journal": parsed.journal,
        "state_problems": parsed.state_problems,
        "states": {key: list(state) for key, state in parsed.states.items()},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(described).encode(), level=1))
    sink = pa.BufferOutputStream()
    # Damage must not pass for other numbers: pages have checksums, and what describes them is compressed with one.
    described_table = table.replace_schema_metadata({_METADATA: packed})
    pq.write_table(described_table, sink, compression="zstd", write_page_checksum=True)
    store.write(CACHE_FILE, sink.getvalue().to_pybytes())


def _columns(table: pa.Table) -> list[list[Any]]:
    """Names, types and length, which damage to the file's own description would change."""
    return [[field.name, str(field.type), table.num_rows] for field in table.schema]


def _to_frame(table: pa.Table) -> pd.DataFrame:
    """Arrow to pandas with nullable integers and booleans."""
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame.astype({"trial": "int64"})
