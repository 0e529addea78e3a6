"""The calibrated l2 distance of Carlini et al. 2023, "Extracting Training Data from Diffusion Models", section 5.1."""

from jaxtyping import Float64
from torch import Tensor

NEIGHBORS = 50
"""n of the paper: how many nearest training images calibrate the distance."""
ALPHA = 0.5
"""alpha of the paper: the share of their mean distance at which the calibrated distance is 1."""


def calibrated_distance(squared_distances: Float64[Tensor, "n k"], alpha: float = ALPHA) -> Float64[Tensor, " n"]:
    """Return the distance to the nearest training image, relative to those to the k nearest ones.

        l(x, NN_1; S) = |x - NN_1|_2 / (alpha mean_{y in S} |x - y|_2),   S = {NN_1, ..., NN_k} of x in D

    It is small where a sample is much closer to one training image than to its neighborhood, and 1 / alpha where
    all k are equally far. Unlike the plain distance it does not call every bright, empty image a copy. A value
    below 1 says that the nearest is closer than alpha times the mean. Carlini et al. take k = 50 and alpha = 0.5;
    where the training set is smaller, k is its size. Their numbers are of CIFAR-10's 50,000 images, and a few
    neighbors say little about the density around a sample: compare values of equal k.

    Args:
        squared_distances: to the k nearest training images, nearest first (`nearest_neighbors`), >= 0.
        alpha: in (0, 1].

    Returns:
        In [0, 1 / alpha], without unit; 1 / alpha where a sample equals all k neighbors, since among exact
        duplicates nothing stands out.
    """
    distances = squared_distances.sqrt()
    mean = distances.mean(1)
    return (distances[:, 0] / (alpha * mean)).where(mean > 0, 1 / alpha)
