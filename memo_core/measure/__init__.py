"""Measures of generated images against the training set."""

from memo_core.measure.calibrated import calibrated_distance
from memo_core.measure.coverage import Coverage, measure_coverage
from memo_core.measure.duplicates import Duplicates, find_duplicates
from memo_core.measure.fid import FrechetDistance
from memo_core.measure.memorization import Memorization, measure_memorization
from memo_core.measure.nearest import Neighbors, nearest_neighbors

__all__ = [
    "Coverage",
    "Duplicates",
    "FrechetDistance",
    "Memorization",
    "Neighbors",
    "calibrated_distance",
    "find_duplicates",
    "measure_coverage",
    "measure_memorization",
    "nearest_neighbors",
]
