"""Decoding, resizing and writing images; each image is uint8 (C, H, W) with C = 1 or 3."""

import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image, UnidentifiedImageError

from memo_core.errors import MemosweepError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")

ImageArray = UInt8[np.ndarray, "c h w"]


def decode_image(file: BinaryIO, name: str) -> ImageArray:
    """Decode one image file; grey stays grey, everything else becomes RGB.

    Raises:
        MemosweepError: the file is broken, truncated or no image.
    """
    try:
        with Image.open(file) as image:
            converted = image if image.mode in ("L", "RGB") else image.convert("RGB")
            pixels = np.asarray(converted)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, EOFError) as error:
        raise MemosweepError(f"{name}: a broken or truncated image ({error})") from None
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def resize_image(image: ImageArray, resolution: int | None, name: str) -> ImageArray:
    """Make an image `resolution` pixels square by averaging areas; larger sides are cut at the centre.

    Args:
        image: (C, H, W).
        resolution: pixels a side, at most the image's shorter side; None keeps a square image as it is.
        name: of the image, for messages.

    Raises:
        MemosweepError: the image is too small, or not square and no resolution is given.
    """
    _, height, width = image.shape
    side = min(height, width)
    if resolution is None:
        if height != width:
            raise MemosweepError(f"{name}: {width} x {height} pixels is not square, set data.resolution")
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


def write_npz(path: str | Path, images: UInt8[np.ndarray, "n c h w"], labels: Int64[np.ndarray, " n"] | None) -> None:
    """Write an image set as .npz (`images`, and `labels` where there are any), whole or not at all."""
    buffer = io.BytesIO()
    if labels is None:
        np.savez_compressed(buffer, images=images)
    else:
        np.savez_compressed(buffer, images=images, labels=labels)
    write_atomically(path, buffer.getvalue())


def write_atomically(path: str | Path, content: bytes) -> None:
    """Replace a file by `content` in one step: a reader or a crash sees the old one or the new one.

    Raises:
        MemosweepError: the place cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise MemosweepError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
