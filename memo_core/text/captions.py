"""Captions of one's own pictures, from a CSV or JSONL file of file names and captions."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from memo_core.errors import MemosweepError, quoted

_NAMES = ("file_name", "file name", "file", "name", "image")
_CAPTIONS = ("caption", "text", "prompt")
_SHOWN = 3


def read_captions(path: str) -> dict[str, str]:
    """Read a CSV file (file name, caption; or more columns under a header) or a JSONL file (`file_name` and `caption`).

    Returns:
        Captions by file name, as written.

    Raises:
        MemosweepError: no such file, another form, an empty caption, or a name with two captions.
    """
    file = Path(path).expanduser()
    try:
        content = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MemosweepError(f"text.captions = {path}: cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise MemosweepError(f"text.captions = {path}: is not UTF-8 text") from None
    ending = file.suffix.lower()
    if ending not in (".csv", ".jsonl"):
        raise MemosweepError(f"text.captions = {path}: expected a file ending in .csv or .jsonl")
    rows = _csv_rows(content, path) if ending == ".csv" else _jsonl_rows(content, path)
    captions: dict[str, str] = {}
    for line, name, caption in rows:
        if not caption.strip():
            raise MemosweepError(f"text.captions = {path}, line {line}: the caption of {quoted(name)} is empty")
        if captions.setdefault(name, caption) != caption:
            raise MemosweepError(f"text.captions = {path}, line {line}: {quoted(name)} has two captions")
    if not captions:
        raise MemosweepError(f"text.captions = {path}: holds no captions")
    return captions


def _csv_rows(content: str, path: str) -> Iterator[tuple[int, str, str]]:
    name_column, caption_column, columns = 0, 1, 2
    try:
        for number, row in enumerate(csv.reader(io.StringIO(content), strict=True), 1):
            if not row:
                continue
            header = _columns_of_header(row) if number == 1 else None
            if header is not None:
                (name_column, caption_column), columns = header, len(row)
                continue
            if len(row) != columns:
                expected = (
                    f"expected {columns} as in the header" if columns > 2 else "expected a file name and a caption"
                )
                raise MemosweepError(
                    f"text.captions = {path}, line {number}: {len(row)} columns, {expected} "
                    "(captions with commas in double quotes)"
                )
            yield number, row[name_column].strip(), row[caption_column].strip()
    except csv.Error as error:
        raise MemosweepError(f"text.captions = {path}: not CSV ({error})") from None


def _columns_of_header(row: Sequence[str]) -> tuple[int, int] | None:
    """Return the columns of file name and caption where a first row names them; None where it holds a caption."""
    titles = [title.strip().lower() for title in row]
    name = next((titles.index(title) for title in _NAMES if title in titles), None)
    caption = next((titles.index(title) for title in _CAPTIONS if title in titles), None)
    if name is not None and caption is not None:
        return name, caption
    return (0, 1) if name == 0 and len(row) == 2 else None


def _jsonl_rows(content: str, path: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise MemosweepError(f"text.captions = {path}, line {number}: not JSON") from None
        if not isinstance(entry, dict):
            raise MemosweepError(f"text.captions = {path}, line {number}: expected a JSON object")
        name = next((entry[key] for key in _NAMES if key in entry), None)
        caption = next((entry[key] for key in _CAPTIONS if key in entry), None)
        if not isinstance(name, str) or not isinstance(caption, str):
            raise MemosweepError(f'text.captions = {path}, line {number}: expected the texts "file_name" and "caption"')
        yield number, name.strip(), caption.strip()


def captions_of(
    names: Sequence[str], captions: dict[str, str], path: str, datasets: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the caption of each image.

    Args:
        names: of the images, as `TrainingSet.names`: the set, a colon, and the file within it.
        captions: by file name, with or without its folders; where only the last part is given, it must be unique.
        path: of the captions, for messages.
        datasets: that the images are of; their paths may hold colons.

    Raises:
        MemosweepError: images without a caption, or a name that is that of several images.
    """
    found: list[str] = []
    missing: list[str] = []
    owners: dict[str, str] = {}
    beginnings = tuple(f"{Path(dataset).expanduser()}: " for dataset in datasets)
    for name in names:
        inner = _within(name, beginnings)
        key = next((key for key in (name, inner, inner.rpartition("/")[2]) if key in captions), None)
        if key is None:
            missing.append(inner)
            continue
        if owners.setdefault(key, name) != name:
            other = _within(owners[key], beginnings)
            raise MemosweepError(
                f"text.captions = {path}: {quoted(key)} is {other} as well as {inner}; name them with their folders"
            )
        found.append(captions[key])
    if missing:
        more = f" and {len(missing) - _SHOWN:,} others" if len(missing) > _SHOWN else ""
        raise MemosweepError(
            f"text.captions = {path}: has no caption for {', '.join(map(quoted, missing[:_SHOWN]))}{more} of "
            f"{len(names):,} images"
        )
    return tuple(found)


def _within(name: str, beginnings: Sequence[str]) -> str:
    """Return the file's name within its set; it may hold a colon itself."""
    known = next((beginning for beginning in beginnings if name.startswith(beginning)), None)
    return name.removeprefix(known) if known is not None else name.partition(": ")[2] or name
