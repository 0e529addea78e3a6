"""A picture of samples beside their nearest training images, those that are most certainly replicas first."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from memo_core.measure.by_prompt import PromptMeasure
from memo_core.measure.memorization import Memorization
from memo_core.measure.pairs import distance_ratio, most_certain

MAX_PAIRS = 100
"""Pairs in one picture at most."""
_PAIRS_PER_ROW = 5
_PAIRS_PER_PROMPT = 5
_MIN_SIDE_PX = 96
"""Smaller images are enlarged to at least this, by a whole multiple."""
_MAX_SIDE_PX = 256
"""Larger images are reduced to this."""
_MIN_LABEL_PX = 150
"""Width that the name of an image has at least."""
_FONT_PX = 12
_LINE_PX = 15
_GAP_PX = 14
_FRAME_PX = 4
_WHITE, _BLACK, _GRAY, _FRAME = "#ffffff", "#111111", "#666666", "#d55e00"


@dataclass(frozen=True)
class _Section:
    """Pairs under a heading."""

    heading: str
    samples: list[int]
    """Positions of the samples, in the order in which they are drawn."""


def gallery_png(
    generated: UInt8[Tensor, "n c h w"],
    training: UInt8[Tensor, "m c h w"],
    result: Memorization,
    sample_names: Sequence[str],
    training_names: Sequence[str],
    by_prompt: Sequence[PromptMeasure] = (),
) -> bytes:
    """Draw the pairs of smallest `distance_ratio`, at most `MAX_PAIRS`, each with both names and its ratio.

    The generated image is on the left, its nearest training image on the right; memorized pairs have a frame. Small
    images are enlarged by a whole multiple without smoothing, so that every pixel is seen as it is.

    Args:
        generated: the samples of `result`.
        training: the training images of `result`, of the same shape.
        result: the measure of both.
        sample_names: n names.
        training_names: m names.
        by_prompt: of `measure_by_prompt`; the first prompts then have a section each, with five pairs at most.

    Returns:
        The PNG file.
    """
    sections = _sections(result, by_prompt)
    shown = sum(len(section.samples) for section in sections)
    side = max(_shown(generated[0]).size)
    column = max(side, _MIN_LABEL_PX)
    cell_width, cell_height = 2 * column + 3 * _GAP_PX, side + 2 * _LINE_PX + 2 * _GAP_PX
    columns = min(_PAIRS_PER_ROW, max(len(section.samples) for section in sections))
    width = columns * cell_width + _GAP_PX
    title = _wrapped(_title(result, shown, len(sections) if by_prompt else 0, len(by_prompt)), width - 2 * _GAP_PX)
    headings = [_wrapped(section.heading, width - 2 * _GAP_PX) if section.heading else [] for section in sections]
    rows = [-(-len(section.samples) // columns) for section in sections]
    top = _GAP_PX + len(title) * _LINE_PX
    height = (
        top
        + _GAP_PX
        + sum(
            len(lines) * _LINE_PX + (_GAP_PX if lines else 0) + count * cell_height
            for lines, count in zip(headings, rows, strict=True)
        )
    )
    picture = Image.new("RGB", (width, height), _WHITE)
    draw = ImageDraw.Draw(picture)
    _write_lines(draw, title, _GAP_PX // 2)
    ratios = distance_ratio(result).tolist()
    for section, lines, count in zip(sections, headings, rows, strict=True):
        if lines:
            _write_lines(draw, lines, top + _GAP_PX)
            top += len(lines) * _LINE_PX + _GAP_PX
        for place, sample in enumerate(section.samples):
            nearest = int(result.nearest_index[sample])
            x = _GAP_PX // 2 + place % columns * cell_width
            y = top + place // columns * cell_height
            if result.memorized[sample]:
                box = (x + _FRAME_PX, y + _FRAME_PX, x + cell_width - _FRAME_PX, y + cell_height - _FRAME_PX)
                draw.rectangle(box, outline=_FRAME, width=_FRAME_PX)
            below = y + _GAP_PX + side + 2
            pair = ((generated[sample], sample_names[sample]), (training[nearest], training_names[nearest]))
            for position, (image, name) in enumerate(pair):
                left = x + _GAP_PX + position * (column + _GAP_PX)
                picture.paste(_shown(image), (left, y + _GAP_PX))
                draw.text((left, below), _ending(name, column), _BLACK, _font())
            text = f"ratio {ratios[sample]:.3f}, distance {float(result.nearest_distance[sample]):.2f}"
            if math.isnan(ratios[sample]):
                text = "equal to two training images: no ratio"
            draw.text((x + _GAP_PX, below + _LINE_PX), text, _GRAY, _font())
        top += count * cell_height
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def _sections(result: Memorization, by_prompt: Sequence[PromptMeasure]) -> list[_Section]:
    """Return the pairs of a gallery: all under no heading, or those of the first prompts under theirs."""
    if not by_prompt:
        return [_Section("", most_certain(result)[:MAX_PAIRS].tolist())]
    return [
        _Section(
            f"{measure.prompt!r}: {measure.replicas:,} of {measure.result.num_samples:,} samples are memorized",
            measure.positions[most_certain(measure.result)[:_PAIRS_PER_PROMPT].cpu()].tolist(),
        )
        for measure in by_prompt[: MAX_PAIRS // _PAIRS_PER_PROMPT]
    ]


def _write_lines(draw: ImageDraw.ImageDraw, lines: Sequence[str], top: int) -> None:
    for number, text in enumerate(lines):
        draw.text((_GAP_PX, top + number * _LINE_PX), text, _BLACK, _font())


def _title(result: Memorization, shown: int, prompts_shown: int, prompts: int) -> str:
    memorized = int(result.memorized.sum())
    which = "all pairs" if shown == result.num_samples else f"the {shown:,} pairs of smallest ratio"
    if prompts:
        few = f"the {prompts_shown:,} prompts of {prompts:,} with the most replicas"
        of = few if prompts_shown < prompts else "each prompt"
        which = f"up to {_PAIRS_PER_PROMPT} pairs of smallest ratio of {of}"
    return (
        f"{memorized:,} of {result.num_samples:,} samples are memorized (framed). Shown: {which}, smallest first. "
        "Ratio: distance to the nearest training image over that to the second nearest. Left: generated image, "
        "right: its nearest training image."
    )


def _shown(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """Return the image as it is drawn: enlarged by a whole multiple, or reduced by averaging areas."""
    pixels = np.moveaxis(image.cpu().numpy(), 0, 2)
    shown = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    longest = max(shown.size)
    if longest > _MAX_SIDE_PX:
        size = tuple(max(1, round(length * _MAX_SIDE_PX / longest)) for length in shown.size)
        return shown.resize((size[0], size[1]), Image.Resampling.BOX)
    times = -(-_MIN_SIDE_PX // longest)
    return shown.resize((shown.width * times, shown.height * times), Image.Resampling.NEAREST)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_PX)


def _ending(name: str, width: int) -> str:
    """Return the name, or as much of its end as fits, since names of one set differ at their end."""
    # Pillow's own font has ASCII only: other characters would all be the same box.
    text = name.encode("ascii", "backslashreplace").decode()
    if _font().getlength(text) <= width:
        return text
    while text and _font().getlength(f"...{text}") > width:
        text = text[1:]
    return f"...{text}"


def _wrapped(text: str, width: int) -> list[str]:
    # As in `_ending`.
    text = text.encode("ascii", "backslashreplace").decode()
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font().getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
