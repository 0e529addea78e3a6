"""Measures of generated images against the training set."""

from memo_core.measure.by_prompt import PromptMeasure, measure_by_prompt
from memo_core.measure.calibrated import calibrated_distance
from memo_core.measure.coverage import Coverage, Replicated, measure_coverage, most_replicated
from memo_core.measure.duplicates import Duplicates, exact_duplicates, find_duplicates
from memo_core.measure.fid import FrechetDistance
from memo_core.measure.gallery import gallery_png
from memo_core.measure.memorization import Memorization, measure_memorization
from memo_core.measure.nearest import Neighbors, nearest_neighbors
from memo_core.measure.pairs import distance_ratio, most_certain, pairs_csv

__all__ = [
    "Coverage",
    "Duplicates",
    "FrechetDistance",
    "Memorization",
    "Neighbors",
    "PromptMeasure",
    "Replicated",
    "calibrated_distance",
    "distance_ratio",
    "exact_duplicates",
    "find_duplicates",
    "gallery_png",
    "measure_by_prompt",
    "measure_coverage",
    "measure_memorization",
    "most_certain",
    "most_replicated",
    "nearest_neighbors",
    "pairs_csv",
]
