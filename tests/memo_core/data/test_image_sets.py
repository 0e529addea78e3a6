import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from memo_core.data.image_sets import decode_image, match_channels
from memo_core.errors import MemosweepError

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOUR = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
RGB = np.moveaxis(COLOUR, 2, 0)


def decoded(image, kind="png", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return decode_image(buffer, f"a.{kind}")


def with_alpha(pixels):
    return np.concatenate([pixels.reshape(8, 8, -1), GREY[..., None]], axis=2)


def test_grey_stays_grey_and_colour_stays_colour():
    np.testing.assert_array_equal(decoded(Image.fromarray(GREY)), GREY[None])
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOUR)), RGB)


def test_alpha_is_dropped():
    np.testing.assert_array_equal(decoded(Image.fromarray(with_alpha(GREY))), GREY[None])
    np.testing.assert_array_equal(decoded(Image.fromarray(with_alpha(COLOUR))), RGB)


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": bytes(range(64))}], ids=str)
def test_a_palette_becomes_its_colours(options):
    image = Image.frombytes("P", (8, 8), bytes(range(64)))
    image.putpalette(COLOUR.tobytes())
    np.testing.assert_array_equal(decoded(image, **options), RGB)


def test_one_bit_becomes_black_and_white():
    bits = np.arange(64).reshape(8, 8) % 3 == 0
    np.testing.assert_array_equal(decoded(Image.fromarray(bits)), bits[None] * np.uint8(255))


@pytest.mark.parametrize(("kind", "order"), [("png", "<u2"), ("tiff", "<u2"), ("tiff", ">u2")])
def test_sixteen_bits_are_scaled_to_eight(kind, order):
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    pixels = decoded(Image.fromarray(values.astype(order)), kind)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[0], np.rint(values / 257))
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_eight_bits_survive_the_way_through_sixteen():
    np.testing.assert_array_equal(decoded(Image.fromarray(GREY.astype(np.uint16) * 257)), GREY[None])


@pytest.mark.parametrize(("kind", "message"), [(np.int32, "32-bit integers"), (np.float32, "floating-point numbers")])
def test_pixels_without_a_known_range_are_refused(kind, message):
    with pytest.raises(MemosweepError, match=f"a.tiff: pixels of {message}"):
        decoded(Image.fromarray(GREY.astype(kind)), "tiff")


TURNED = {
    1: RGB,
    2: RGB[:, :, ::-1],
    3: RGB[:, ::-1, ::-1],
    4: RGB[:, ::-1],
    5: RGB.transpose(0, 2, 1),
    6: np.rot90(RGB, -1, (1, 2)),
    7: np.rot90(RGB, 2, (1, 2)).transpose(0, 2, 1),
    8: np.rot90(RGB, 1, (1, 2)),
}
"""How a picture that a camera stored as RGB is seen, by its EXIF orientation."""


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", TURNED)
def test_the_exif_orientation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "webp" else {}
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOUR), kind, exif=exif, **options), TURNED[orientation])


def test_an_oblong_photo_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decoded(Image.fromarray(COLOUR[:4]), "jpeg", exif=exif).shape == (3, 8, 4)
    deep = Image.fromarray(np.arange(32, dtype=np.uint16).reshape(4, 8) * 257)
    np.testing.assert_array_equal(decoded(deep, exif=exif)[0], np.rot90(np.arange(32).reshape(4, 8), -1))


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_orientations_that_do_not_exist_change_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOUR), exif=exif), RGB)


def test_damaged_exif_does_not_refuse_the_picture():
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOUR), exif=b"Exif\0\0no tiff header"), RGB)


@pytest.mark.parametrize(("kind", "options"), [("gif", {}), ("webp", {"lossless": True}), ("png", {}), ("tiff", {})])
def test_of_several_frames_the_first_is_taken(kind, options):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    pixels = decoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(pixels, np.broadcast_to(GREY, pixels.shape))


def test_a_decompression_bomb_is_refused():
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "png")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    with pytest.raises(MemosweepError, match=r"a\.png: .*decompression bomb"):
        decode_image(io.BytesIO(content), "a.png")


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "webp", "tiff"])
def test_damaged_images_fail_in_one_way_only(kind):
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, kind)
    generator = np.random.default_rng(0)
    for _ in range(100):
        content = bytearray(buffer.getvalue())
        for position in generator.integers(len(content), size=4):
            content[position] = generator.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert decode_image(io.BytesIO(content), "a").dtype == np.uint8
            except MemosweepError as error:
                assert "\n" not in str(error)


def test_grey_meets_colour_as_colour():
    grey, colour = torch.from_numpy(GREY)[None, None], torch.from_numpy(RGB.copy())[None]
    for first, second in ((grey, colour), (colour, grey)):
        for given, matched in zip((first, second), match_channels(first, second), strict=True):
            assert matched.dtype == torch.uint8
            assert torch.equal(matched, given.repeat(1, 3 // given.shape[1], 1, 1))


@pytest.mark.parametrize("pixels", [GREY[None], RGB])
def test_sets_of_as_many_channels_stay_as_they_are(pixels):
    images = torch.from_numpy(pixels.copy())[None]
    assert [matched.shape for matched in match_channels(images, images)] == [images.shape] * 2
