"""Image sets stored as arrays: our own .npz files, those of published samplers, and .npy files."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from memo_core.data.file_kinds import HEAD_SIZE, identify
from memo_core.errors import MemosweepError, first_line, quoted, reason_of

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]

_OWN = "images"
"""In our own files: channels first, whatever the shape."""
_UNNAMED = "arr_0"
"""The first array that NumPy was given without a name: images, channels last, in the files of published samplers."""
_UNNAMED_LABELS = "arr_1"
"""The second one: their labels."""
_EXPECTED = "(N, C, H, W) of uint8 with C = 1 or 3"


def read_arrays(path: Path) -> tuple[UInt8[np.ndarray, "n c h w"], Array | MemosweepError | None]:
    """Read the images, and the labels where there are any, of an .npz or .npy file.

    The images of an .npz are `images` with `labels`; or `arr_0` with the labels `arr_1`, as published samplers write
    them; or `samples`; or its only array. The shape tells whether channels come first or last.

    Returns:
        The images, uint8 (N, C, H, W), and the labels as they are stored, the error of reading them, or None.

    Raises:
        MemosweepError: a broken file, no images, or a type or layout that does not tell what the pixels are.
    """
    labels: Array | MemosweepError | None = None
    # Entries of an .npz that are not arrays come as bytes.
    images: Array | bytes | None
    _refuse_other_kinds(path)
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            name, images = "", content
        else:
            with content:
                names = content.files
                only = names[0] if len(names) == 1 else ""
                name = next((name for name in (_OWN, _UNNAMED, "samples") if name in names), only)
                images = content[name] if name else None
                labels = _read_labels(content, "labels", _UNNAMED_LABELS if name == _UNNAMED else "labels")
    # Over damaged bytes, NumPy, zipfile and zlib fail in many ways.
    except Exception as error:
        raise MemosweepError(f"{path}: a broken {path.suffix.lower()} file ({_reason(error)})") from None
    if images is None:
        held = ", ".join(map(quoted, names[:5])) or "nothing"
        raise MemosweepError(f"{path}: no `{_OWN}` (nor `{_UNNAMED}`) but {held[:150]}, expected `{_OWN}` {_EXPECTED}")
    if not isinstance(images, np.ndarray):
        raise MemosweepError(f"{path}: a broken {path.suffix.lower()} file ({quoted(name)} is not an array)")
    return _channels_first(images, name, path), labels


def read_image_prompts(path: Path, count: int) -> tuple[str, ...] | None:
    """Return the prompt of each image of an .npz; None where it has none.

    Such a file holds `prompts`, and in `labels` which of them each image was drawn for, counted from 0.

    Args:
        path: of an .npz whose images can be read; other files have no prompts.
        count: of its images.

    Raises:
        MemosweepError: prompts that are no texts, or do not fit the images.
    """
    if path.suffix.lower() != ".npz" or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as content:
        if "prompts" not in content.files:
            return None
        found = [_read_labels(content, name) for name in ("prompts", "labels")]
    for array in found:
        if isinstance(array, MemosweepError):
            raise MemosweepError(f"{path}: {array}")
    prompts, labels = found
    if not isinstance(prompts, np.ndarray) or prompts.ndim != 1 or prompts.dtype.kind != "U":
        raise MemosweepError(f"{path}: `prompts` must be a list of texts")
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise MemosweepError(
            f"{path}: has `prompts` without `labels` that say which of them each of its {count:,} images was drawn for"
        )
    wrong = labels.min() if labels.min() < 0 else labels.max()
    if not 0 <= wrong < len(prompts):
        raise MemosweepError(f"{path}: the label {wrong} is none of its {len(prompts):,} prompts, counted from 0")
    return tuple(str(prompts[label]) for label in labels)


def _refuse_other_kinds(path: Path) -> None:
    """Refuse what is neither a zip nor a NumPy array; NumPy would take it for a pickle, and advise to trust it."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_SIZE)
    except OSError as error:
        raise MemosweepError(f"{path}: cannot be read ({reason_of(error, path)})") from None
    kind = identify(head)
    if kind.name in ("zip", "zip-empty", "npy"):
        return
    if kind.name in ("unknown", "text"):
        raise MemosweepError(f"{path}: a broken {path.suffix.lower()} file (neither a NumPy array nor a zip of them)")
    raise MemosweepError(f"{path}: is {kind.what}, not arrays of images{kind.advice and f'; {kind.advice}'}")


def _reason(error: Exception) -> str:
    """Return NumPy's reason, without its advice to trust pickles."""
    return "Python objects, expected numbers" if "pickle" in str(error) else first_line(error)


def _read_labels(content: "np.lib.npyio.NpzFile", *names: str) -> Array | MemosweepError | None:
    for name in names:
        if name in content.files:
            try:
                labels: Array | bytes = content[name]
            except Exception as error:
                return MemosweepError(f"`{name}` cannot be read ({_reason(error)})")
            return labels if isinstance(labels, np.ndarray) else MemosweepError(f"`{name}` is not an array")
    return None


def _channels_first(images: Array, name: str, path: Path) -> UInt8[np.ndarray, "n c h w"]:
    what = f"{path}: {quoted(name) if name else 'an array'} of {images.dtype} {images.shape}"
    if images.dtype != np.uint8:
        raise MemosweepError(f"{what}, expected {_EXPECTED}{_conversion(images)}")
    if not images.size:
        raise MemosweepError(f"{what} holds no images")
    # One image of three channels, or several gray ones?
    if images.ndim == 3 and images.shape[0] != 3 and images.shape[2] not in (1, 3, 4):
        return images[:, None].astype(np.uint8, copy=False)
    first = images.ndim == 4 and images.shape[1] in (1, 3)
    last = images.ndim == 4 and images.shape[3] in (1, 3)
    if first and (name == _OWN or not last):
        return images.astype(np.uint8, copy=False)
    if last and not first:
        return np.ascontiguousarray(np.moveaxis(images, 3, 1)).astype(np.uint8, copy=False)
    # Alpha is dropped, as that of image files.
    with_alpha = [axis for axis in (1, 3) if images.ndim == 4 and images.shape[axis] == 4]
    if not first and len(with_alpha) == 1:
        return np.ascontiguousarray(np.moveaxis(images, with_alpha[0], 1)[:, :3]).astype(np.uint8, copy=False)
    if images.ndim == 3:
        raise MemosweepError(
            f"{what} is one color image, or several gray ones; an image set has several images: save {_EXPECTED}, "
            "gray ones with images[:, None]"
        )
    reason = "could have its channels first or last" if first else "does not tell which are the channels"
    raise MemosweepError(f"{what} {reason}; save {_EXPECTED} with numpy.savez(file, images=...)")


def _conversion(images: Array) -> str:
    """Return how to make 8 bits of values whose range tells what they are; empty where it does not."""
    if images.dtype.kind not in "iufb" or not images.size:
        return ""
    low, high = float(images.min()), float(images.max())
    if images.dtype.kind != "f":
        if images.dtype.kind == "b":
            return "; of true and false: (255 * x).astype('uint8')"
        return "; of values from 0 to 255: x.astype('uint8')" if 0 <= low <= high <= 255 else ""
    for least, most, code in (
        (0, 1, "(255 * x).round()"),
        (-1, 1, "(127.5 * x + 128).clip(0, 255)"),
        (0, 255, "x.round()"),
    ):
        if least <= low <= high <= most:
            return f"; of values from {least} to {most}: {code}.astype('uint8')"
    return ""
