"""Measures of generated images against the training set."""

from memo_core.measure.memorization import Memorization, measure_memorization
from memo_core.measure.nearest import Neighbors, nearest_neighbors

__all__ = ["Memorization", "Neighbors", "measure_memorization", "nearest_neighbors"]
