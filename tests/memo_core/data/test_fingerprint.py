import numpy as np
import torch

from memo_core.data import load_training_set
from memo_core.data.fingerprint import pixels_sha256
from memo_core.experiment import DataConfig


def random_images(count=6, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, 1, side, side), dtype=np.uint8)


def test_a_training_set_is_known_by_its_pixels_labels_and_shape():
    images = torch.from_numpy(random_images())
    labels = torch.arange(6)
    changed = images.clone()
    changed[3, 0, 2, 1] ^= 1
    found = [
        pixels_sha256(images, labels),
        pixels_sha256(images, None),
        pixels_sha256(images, labels.flip(0)),
        pixels_sha256(images.flip(0), labels),
        pixels_sha256(changed, labels),
        pixels_sha256(images.reshape(6, 1, 4, 16), labels),
    ]
    assert len(set(found)) == len(found)
    assert pixels_sha256(images.clone(), labels.int()) == found[0]


def test_a_training_set_computes_it_once_and_on_every_device():
    data = load_training_set(DataConfig(size=10))
    assert data.pixels_sha256 is data.pixels_sha256
    assert data.pixels_sha256 == data.to("cpu").pixels_sha256
    assert data.pixels_sha256 != load_training_set(DataConfig(size=10, seed=1)).pixels_sha256
