"""The names of `tests.fakes` that tests import from here."""

from tests.fakes import BASE, SIZES, SLOPE, Settings, Shift, evaluations, frame, grid, write_sweep

__all__ = ["BASE", "SIZES", "SLOPE", "Settings", "Shift", "evaluations", "frame", "grid", "write_sweep"]
