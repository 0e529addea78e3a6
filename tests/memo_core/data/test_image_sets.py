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

GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOR = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
RGB = np.moveaxis(COLOR, 2, 0)


def decoded(image, kind="png", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return decode_image(io.BufferedReader(buffer), f"a.{kind}")


def with_alpha(pixels):
    return np.concatenate([pixels.reshape(8, 8, -1), GRAY[..., None]], axis=2)


def test_gray_stays_gray_and_color_stays_color():
    np.testing.assert_array_equal(decoded(Image.fromarray(GRAY)), GRAY[None])
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOR)), RGB)


def test_alpha_is_dropped():
    np.testing.assert_array_equal(decoded(Image.fromarray(with_alpha(GRAY))), GRAY[None])
    np.testing.assert_array_equal(decoded(Image.fromarray(with_alpha(COLOR))), RGB)


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": bytes(range(64))}], ids=str)
def test_a_palette_becomes_its_colors(options):
    image = Image.frombytes("P", (8, 8), bytes(range(64)))
    image.putpalette(COLOR.tobytes())
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
    np.testing.assert_array_equal(decoded(Image.fromarray(GRAY.astype(np.uint16) * 257)), GRAY[None])


@pytest.mark.parametrize(("kind", "message"), [(np.int32, "32-bit integers"), (np.float32, "floating-point numbers")])
def test_pixels_without_a_known_range_are_refused(kind, message):
    with pytest.raises(MemosweepError, match=f"a.tiff: pixels of {message}"):
        decoded(Image.fromarray(GRAY.astype(kind)), "tiff")


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
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOR), kind, exif=exif, **options), TURNED[orientation])


def test_an_oblong_photo_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decoded(Image.fromarray(COLOR[:4]), "jpeg", exif=exif).shape == (3, 8, 4)
    deep = Image.fromarray(np.arange(32, dtype=np.uint16).reshape(4, 8) * 257)
    np.testing.assert_array_equal(decoded(deep, exif=exif)[0], np.rot90(np.arange(32).reshape(4, 8), -1))


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_orientations_that_do_not_exist_change_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOR), exif=exif), RGB)


def test_damaged_exif_does_not_refuse_the_picture():
    np.testing.assert_array_equal(decoded(Image.fromarray(COLOR), exif=b"Exif\0\0no tiff header"), RGB)


@pytest.mark.parametrize(("kind", "options"), [("gif", {}), ("webp", {"lossless": True}), ("png", {}), ("tiff", {})])
def test_of_several_frames_the_first_is_taken(kind, options):
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    pixels = decoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(pixels, np.broadcast_to(GRAY, pixels.shape))


def test_a_decompression_bomb_is_refused():
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, "png")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    with pytest.raises(MemosweepError, match=r"a\.png: .*decompression bomb"):
        decode_image(io.BufferedReader(io.BytesIO(content)), "a.png")


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "webp", "tiff"])
def test_damaged_images_fail_in_one_way_only(kind):
    buffer = io.BytesIO()
    Image.fromarray(COLOR).save(buffer, kind)
    generator = np.random.default_rng(0)
    for _ in range(100):
        content = bytearray(buffer.getvalue())
        for position in generator.integers(len(content), size=4):
            content[position] = generator.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert decode_image(io.BufferedReader(io.BytesIO(content)), "a").dtype == np.uint8
            except MemosweepError as error:
                assert "\n" not in str(error)


def test_gray_meets_color_as_color():
    gray, color = torch.from_numpy(GRAY)[None, None], torch.from_numpy(RGB.copy())[None]
    for first, second in ((gray, color), (color, gray)):
        for given, matched in zip((first, second), match_channels(first, second), strict=True):
            assert matched.dtype == torch.uint8
            assert torch.equal(matched, given.repeat(1, 3 // given.shape[1], 1, 1))


@pytest.mark.parametrize("pixels", [GRAY[None], RGB])
def test_sets_of_as_many_channels_stay_as_they_are(pixels):
    images = torch.from_numpy(pixels.copy())[None]
    assert [matched.shape for matched in match_channels(images, images)] == [images.shape] * 2
