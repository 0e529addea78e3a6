"""Decoding, resizing and writing images; each image is uint8 (C, H, W) with C = 1 or 3."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image, features
from torch import Tensor

from memo_core.data.file_kinds import HEAD_SIZE, FileKind, foreign_kind
from memo_core.errors import MemosweepError, first_line
from memo_core.files import write_atomically

IMAGE_ENDINGS = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
    ".apng", ".dib", ".tga",
    *((".jp2", ".j2k", ".jpx") if features.check("jpg_2000") else ()),
    *((".avif",) if "avif" in features.modules and features.check("avif") else ()),
)  # fmt: skip
"""In lower case; files may have them in any. Two formats depend on what Pillow was built with."""

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation."""

_NO_RANGE = {"I": "32-bit integers", "F": "floating-point numbers"}
"""Pillow's modes whose black and white are unknown."""

ImageArray = UInt8[np.ndarray, "c h w"]


def decode_image(file: io.BufferedIOBase | IO[bytes], name: str) -> ImageArray:
    """Decode one image file: gray, with or without alpha or of 1 or 16 bits, becomes (1, H, W), all else RGB.

    Of several frames the first is taken, and the EXIF orientation is applied. Alpha is dropped. 16 bits become
    v / 257 rounded, so that white stays white (Pillow itself keeps the higher byte of 16-bit colors).

    Raises:
        MemosweepError: the file is broken, truncated or no image, or its values have no known range.
    """
    try:
        with Image.open(cast("IO[bytes]", file)) as image:
            mode = image.mode
            pixels = np.asarray(_to_8_or_16_bits(_upright(image)))
    # Pillow's decoders raise many kinds of errors over damaged files.
    except Exception as error:
        kind = _foreign_kind(file)
        if kind is not None:
            raise MemosweepError(f"{name}: is {kind.what}, not an image{kind.advice and f'; {kind.advice}'}") from None
        raise MemosweepError(f"{name}: a broken, truncated or oversized image ({first_line(error)})") from None
    if mode in _NO_RANGE:
        raise MemosweepError(f"{name}: pixels of {_NO_RANGE[mode]} have no known range; save it with 8 or 16 bits")
    if pixels.dtype != np.uint8:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def _foreign_kind(file: io.BufferedIOBase | IO[bytes]) -> FileKind | None:
    """Return what a file is that is no image; None where its beginning does not tell."""
    try:
        file.seek(0)
        kind = foreign_kind(file.read(HEAD_SIZE), ("image",))
    # Whatever made the decoder fail may fail again.
    except Exception:
        return None
    # Too little of an image, or its formats without a signature, may look like these.
    return None if kind is None or (kind.name in ("text", "pickle", "json")) else kind


def _upright(image: Image.Image) -> Image.Image:
    # Pillow turns some kinds by itself while loading, and then forgets their orientation.
    image.load()
    try:
        turn = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    # Damaged EXIF data is not a reason to refuse the image.
    except Exception:
        return image
    return image if turn is None else image.transpose(turn)


def _to_8_or_16_bits(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB") or image.mode in _NO_RANGE or image.mode.startswith("I;16"):
        return image
    if image.mode in ("1", "LA", "La"):
        return image.convert("L")
    if image.mode == "P" and "transparency" in image.info:
        # Straight to RGB, Pillow warns of the transparency that is dropped.
        image = image.convert("RGBA")
    return image.convert("RGB")


def resize_image(
    image: ImageArray, resolution: int | None, name: str, advice: str = "set data.resolution"
) -> UInt8[np.ndarray, "c r r"]:
    """Reduce an image to `resolution` pixels a side by averaging areas; the longer side is cut around the center.

    Args:
        image: (C, H, W).
        resolution: pixels a side, at most the image's shorter side; None keeps a square image as it is.
        name: of the image, for messages.
        advice: what to do about an image that is not square, where there is no resolution.

    Raises:
        MemosweepError: the image is too small, or not square and no resolution is given.
    """
    _, height, width = image.shape
    side = min(height, width)
    if resolution is None:
        if height != width:
            raise MemosweepError(f"{name}: {width} x {height} pixels is not square, {advice}")
        return image
    if resolution > side:
        raise MemosweepError(
            f"data.resolution = {resolution}: {name} has {width} x {height} pixels, "
            "and images are only ever made smaller"
        )
    top, left = (height - side) // 2, (width - side) // 2
    image = image[:, top : top + side, left : left + side]
    if side == resolution:
        return image
    # Pillow's box filter weighs each source pixel by its covered area, whatever the ratio; on float planes, since
    # it would round 8-bit ones twice, between its two passes and after them.
    planes = [
        Image.fromarray(plane.astype(np.float32)).resize((resolution, resolution), Image.Resampling.BOX)
        for plane in image
    ]
    return np.floor(np.stack([np.asarray(plane) for plane in planes]) + 0.5).astype(np.uint8)


def match_channels(
    first: UInt8[Tensor, "n c h w"], second: UInt8[Tensor, "m d h w"]
) -> tuple[UInt8[Tensor, "n e h w"], UInt8[Tensor, "m e h w"]]:
    """Make two image sets comparable: where one is gray and the other is color, gray becomes RGB of equal values.

    EDM writes the same gray images with one channel or with three, depending on the network.

    Args:
        first: (N, C, H, W), C = 1 or 3.
        second: (M, D, H, W), D = 1 or 3.

    Returns:
        Both sets, with three channels each where C and D differ; repeated channels share memory.
    """
    channels = max(first.shape[1], second.shape[1])
    return _with_channels(first, channels), _with_channels(second, channels)


def _with_channels(images: Tensor, channels: int) -> Tensor:
    return images.expand(-1, channels, -1, -1) if images.shape[1] == 1 else images


def write_npz(
    path: str | Path,
    images: UInt8[np.ndarray, "n c h w"],
    labels: Int64[np.ndarray, " n"] | None,
    prompts: Sequence[str] = (),
) -> None:
    """Write an image set as .npz (`images`, and `labels` where there are any), whole or not at all.

    Args:
        path: of the file.
        images: of the set.
        labels: of the images.
        prompts: that the labels count, for the images of a text-to-image model.
    """
    arrays: dict[str, Any] = {"images": images}
    if labels is not None:
        arrays["labels"] = labels
    if prompts:
        arrays["prompts"] = np.array(prompts)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def write_edm_zip(
    path: str | Path, images: UInt8[np.ndarray, "n c h w"], labels: Int64[np.ndarray, " n"] | None
) -> None:
    """Write an image set in EDM's format: PNG files and `dataset.json` with `labels` (null for none)."""
    buffer = io.BytesIO()
    listed: list[list[str | int]] = []
    with zipfile.ZipFile(buffer, "w") as archive:
        for index, image in enumerate(images):
            name = f"{index // 1000:05d}/img{index:08d}.png"
            encoded = io.BytesIO()
            pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, 2)
            Image.fromarray(pixels).save(encoded, "png")
            # A fixed date, so that equal sets are equal files.
            archive.writestr(zipfile.ZipInfo(name), encoded.getvalue())
            if labels is not None:
                listed.append([name, int(labels[index])])
        content = json.dumps({"labels": None if labels is None else listed})
        archive.writestr(zipfile.ZipInfo("dataset.json"), content)
    write_atomically(path, buffer.getvalue())
