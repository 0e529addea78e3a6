"""Training sets: sources, nested balanced subsets, resizing, blending and labels."""

from memo_core.data.image_sets import write_edm_zip, write_npz
from memo_core.data.sources import ImageSource, open_source
from memo_core.data.training_set import TrainingSet, load_training_set

__all__ = [
    "ImageSource",
    "TrainingSet",
    "load_training_set",
    "open_source",
    "write_edm_zip",
    "write_npz",
]
