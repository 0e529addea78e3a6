"""Result folders for the commands that estimate: a real small one, and made-up ones with known curves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import Trials, write_trials


@pytest.fixture
def real_sweep(sweep: Path) -> Path:
    """A copy of the real result folder, last written long ago."""
    return sweep


@pytest.fixture
def write_sweep(tmp_path: Path) -> Callable[..., Path]:
    """Write a finished sweep: a trial per (changed settings, best ratio)."""

    def write(trials: Trials, key: str = "model.width", name: str = "sweep", **reported: Any) -> Path:
        return write_trials(tmp_path / name, trials, key, **reported)

    return write
