"""What several test folders share."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("MEMOSWEEP_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of snapshots and their outputs, computed with the published implementation."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set MEMOSWEEP_SHARED")
    return folder
