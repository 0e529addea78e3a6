import io
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from memo_core.measure import gallery_png, measure_memorization
from memo_core.measure.gallery import MAX_PAIRS

FRAME = (213, 94, 0)


def random_images(count, channels=3, side=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 255, (count, channels, side, side), generator=generator).to(torch.uint8)


def picture_of(generated, training, threshold=1 / 3, name="image"):
    result = measure_memorization(generated, training, threshold)
    names = [f"{name} {i}" for i in range(max(len(generated), len(training)))]
    content = gallery_png(generated, training, result, names[: len(generated)], names[: len(training)])
    return np.asarray(Image.open(io.BytesIO(content)))


def places(picture, image, times):
    """Where an image, enlarged without smoothing, stands in the picture."""
    large = image.numpy().transpose(1, 2, 0).repeat(times, 0).repeat(times, 1)
    height, width = large.shape[:2]
    corners = (picture[: -height + 1, : -width + 1] == large[0, 0]).all(2)
    return [
        (int(y), int(x))
        for y, x in zip(*corners.nonzero(), strict=True)
        if (picture[y : y + height, x : x + width] == large).all()
    ]


def test_each_sample_stands_left_of_its_nearest_image_most_certain_first():
    training = random_images(4)
    generated = training[[2, 0, 3]].clone()
    generated[0, 0, :4] += 1
    generated[2, 0, 0, 0] += 1
    picture = picture_of(generated, training)
    # From 8 to 96 pixels: the exact copy of 0 first, then the slightest change.
    found = [places(picture, image, 12) for image in (generated[1], generated[2], training[3], generated[0])]
    assert len(found[0]) == 2
    (y, left), (same_y, right) = found[0]
    assert y == same_y
    assert left < right < found[1][0][1] < found[2][0][1] < found[3][0][1]
    assert {y} == {place[0] for places_ in found for place in places_}


def test_only_memorized_pairs_are_framed():
    training = random_images(3)
    far = (training[:1].int() + training[1:2].int()).div(2).to(torch.uint8)

    def frames(images):
        return Counter(map(tuple, picture_of(images, training).reshape(-1, 3).tolist()))[FRAME]

    assert frames(far) == 0
    assert frames(training[:1]) > 0
    assert frames(training[:2]) == 2 * frames(torch.cat([training[:1], far]))


def test_a_picture_holds_at_most_its_cap_of_pairs():
    training = random_images(5)
    many, most = (picture_of(random_images(count, seed=1), training).shape for count in (MAX_PAIRS + 50, MAX_PAIRS))
    assert many == most


@pytest.mark.parametrize("side", [1, 8, 28, 32, 96, 300])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_every_size_are_drawn(side, channels):
    training = random_images(3, channels, side)
    height, width, _ = picture_of(training, training).shape
    shown = 256 if side > 256 else -(-96 // side) * side
    assert height > shown
    assert width > 6 * shown


def test_long_and_foreign_names_stay_within_their_column():
    training = random_images(2)
    plain, long = (picture_of(training, training, name=name) for name in ("a", "ÿ图" + "long" * 60))
    assert plain.shape == long.shape
    # The margin right of the last frame stays empty.
    assert (long[60:, -4:] == 255).all()


def test_a_sample_without_a_ratio_is_drawn_last():
    training = random_images(3)
    training[1] = training[0]
    picture = picture_of(training[[0, 2]], training)
    assert places(picture, training[2], 12)[0][1] < places(picture, training[0], 12)[0][1]
