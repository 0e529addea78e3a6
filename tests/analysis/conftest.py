"""What the tests of the analysis share: a small real result folder."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.errors import SkippedResultsWarning

DATA = Path(__file__).parent / "data"
"""`weight_decay`: a real sweep on the digits, interrupted with 8 of 14 trials begun, two of them unfinished; without
network checkpoints."""
LONG_AGO = 1_700_000_000


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A copy of the real result folder, last written long ago."""
    folder = tmp_path / "weight_decay"
    shutil.copytree(DATA / "weight_decay", folder)
    for file in folder.rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of the real result folder."""
    folder = tmp_path_factory.mktemp("results") / "weight_decay"
    shutil.copytree(DATA / "weight_decay", folder)
    with pytest.warns(SkippedResultsWarning, match="6 trials have no evaluation yet"):
        return analysis.load(folder)


def fail(sweep: Path, trial_id: str) -> None:
    """Write into a journal that a trial failed."""
    with (sweep / "trials.jsonl").open("a") as file:
        file.write(json.dumps({"event": "ended", "key": None, "trial_id": trial_id, "status": "error"}) + "\n")
