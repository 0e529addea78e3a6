"""A denoiser in closed form."""

import math

import torch


class GaussianData:
    """The exact denoiser of pixels that are independent and normal with standard deviation `spread`."""

    sigma_min, sigma_max, device = 0.0, math.inf, torch.device("cpu")

    def __init__(self, spread=0.5, num_labels=0, image_shape=(1, 2, 2)):
        self.spread, self.num_labels, self.image_shape = spread, num_labels, image_shape
        self.sigmas = []

    def __call__(self, x, sigma, labels=None, /):
        assert x.dtype == sigma.dtype == torch.float32
        self.sigmas.append(float(sigma[0]))
        level = sigma[:, None, None, None]
        offset = 0 if labels is None else labels[:, None, None, None] / 10
        return offset + (x - offset) * self.spread**2 / (self.spread**2 + level.square())
