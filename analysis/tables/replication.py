"""How each trial replicates its training set: coverage, concentration, near-duplicates."""

from analysis.inference.replication import replication_frame
from analysis.runs.runs import Runs
from analysis.tables import columns
from analysis.tables.table import Column, Table

COLUMNS = {
    "experiment": Column("Experiment"),
    "trial_id": Column("Trial"),
    "memorization_ratio": columns.numbers("Ratio (%)"),
    "calibrated_ratio": columns.numbers("Calibrated ratio (%)"),
    "replicas": columns.numbers("Replicas"),
    "coverage": columns.numbers("Coverage (%)"),
    "coverage_if_uniform": columns.numbers("If at random (%)"),
    "gini": columns.numbers("Gini"),
    "top_10_percent": columns.numbers("Top 10% hold (%)"),
    "most_replicas": columns.numbers("Most of one image"),
    "near_duplicates": columns.numbers("Near-duplicates"),
}
"""The frame's columns that are no settings."""
NOTE = (
    "At each trial's best evaluation. Coverage: the share of the training images that were replicated at least once, "
    "beside what as many replicas would reach at random. Gini: 0 where all images are replicated equally often, near 1 "
    "where a few hold all replicas; beside it the share of replicas that the most replicated 10% of the images hold. "
    "Calibrated ratio: samples whose distance is below half of the mean to their nearest neighbors (Carlini et al. "
    "2023). Near-duplicates: training images with a near copy among the others, which blind the 1/3 rule."
)


def replication_table(runs: Runs) -> Table:
    """Return a row per trial that measured or left any of it; none for runs without.

    Args:
        runs: of one sweep or several.
    """
    title = "Coverage and concentration of replicas"
    return columns.frame_table("replication", title, replication_frame(runs), COLUMNS, (NOTE,))
