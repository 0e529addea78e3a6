import math

import pytest
import torch

from memo_core.errors import NotFiniteError
from memo_core.sampling import to_uint8


def test_pixels_are_truncated_as_in_an_image_file():
    values = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 2.0], dtype=torch.float64)
    assert to_uint8(values[None, None, None]).flatten().tolist() == [0, 0, 128, 255, 255, 255]
    gray = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8((gray.double() / 127.5 - 1)[None, None, None]).flatten(), gray)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_becomes_pixels(value):
    images = torch.zeros(4, 1, 2, 2, dtype=torch.float64)
    images[2, 0, 1, 0] = value
    with pytest.raises(NotFiniteError, match="sample of seed 2 is not finite"):
        to_uint8(images)
