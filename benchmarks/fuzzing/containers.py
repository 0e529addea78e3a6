"""Damage inside a file whose outside stays valid: checksums and lengths fit, so that readers get to the content."""

import base64
import io
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.fuzzing.corruption import (
    ODD_VALUES,
    Random,
    choose,
    damage_bytes,
    damage_json,
    damage_json_lines,
    damage_tree,
)
from benchmarks.fuzzing.snapshots import edm_pickle

_ODD_NAMES = ("", "..", "/a.png", "../a.png", "a\\b.png", "a.png/", "ä.png", "x" * 300 + ".png", "dataset.json", "CON")


def damage_zip(content: bytes, random: Random) -> bytes:
    """A member damaged, renamed, lost or doubled; checksums are those of the new content."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    # The index is one of many members, and holds most of what can be wrong.
    special = [index for index, (name, _) in enumerate(members) if name.endswith((".json", ".pkl", ".npy"))]
    index = choose(random, special) if special and random.random() < 0.6 else int(random.integers(len(members)))
    name, data = members[index]
    action = choose(random, ("damage", "damage", "damage", "damage", "rename", "lose", "double", "empty"))
    if action == "damage":
        data = _damage_member(name, data, random)
        members[index] = name, data
    elif action == "rename":
        members[index] = choose(random, _ODD_NAMES), data
    elif action == "lose":
        del members[index]
    elif action == "double":
        members.append((name, _damage_member(name, data, random)))
    else:
        members[index] = name, b""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)  # doubled names
        for member, stored in members:
            archive.writestr(zipfile.ZipInfo(member), stored)
    return buffer.getvalue()


def _damage_member(name: str, data: bytes, random: Random) -> bytes:
    if name.endswith(".json"):
        return damage_json(data.decode(), random).encode(errors="surrogatepass")
    if name.endswith(".npy"):
        return _damage_array(data, random)
    return damage_bytes(data, random)


def _damage_array(data: bytes, random: Random) -> bytes:
    """An array of another type or shape, or a header that says something else."""
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if random.random() < 0.4:
        return damage_bytes(data[:128], random) + data[128:]
    types: tuple[Any, ...] = (np.complex64, "U8", "S4", ">i2", bool, np.float16, "datetime64[s]")
    changed: Any = choose(
        random,
        (
            *(array.astype(kind) for kind in types),
            array.astype(np.float64) * np.nan,
            array.astype(np.int64) + 2**62,
            -array.astype(np.int64),
            *(array[:0], array[:1], array[..., None], array.reshape(-1)),
            *(np.array(7), np.array([]), np.zeros((2, 0, 3), np.uint8)),
        ),
    )
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(changed), allow_pickle=False)
    return buffer.getvalue()


def damage_safetensors(content: bytes, random: Random) -> bytes:
    """The header's JSON, with the length that goes before it."""
    length = int.from_bytes(content[:8], "little")
    header = damage_json(content[8 : 8 + length].decode(), random).encode(errors="surrogatepass")
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def damage_checkpoint(content: bytes, random: Random) -> bytes:
    """A value of a checkpoint replaced, by a tensor of another kind or by a value that is no tensor."""
    tree = torch.load(io.BytesIO(content), weights_only=True)

    def odd(drawn: Random) -> Any:
        tensors = (
            *(torch.empty(0), torch.tensor(1.0), torch.full((3,), torch.nan), torch.ones(1).to_sparse()),
            *(torch.ones(2, 2, dtype=torch.int64), torch.ones(2, dtype=torch.complex64)),
            *(torch.ones(1).expand(10**6), torch.ones(3, device="meta")),
        )
        return choose(drawn, tensors) if drawn.random() < 0.4 else choose(drawn, ODD_VALUES)

    # All but one of the values of a network are weights: look elsewhere half of the time.
    key = choose(random, sorted(tree))
    if random.random() < 0.5 and isinstance(tree, dict):
        tree[key] = damage_tree(tree[key], random, odd)
    else:
        tree = damage_tree(tree, random, odd)
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return buffer.getvalue()


def damage_edm_pickle(_: bytes, random: Random) -> bytes:
    """An EDM pickle that was built with an odd argument, or holds an odd weight."""
    return edm_pickle(change=lambda tree: damage_tree(tree, random), plain=bool(random.random() < 0.5))


def damage_cache(content: bytes, random: Random) -> bytes:
    """The description inside the Parquet file of the analysis, or one of its columns."""
    table = pq.read_table(pa.BufferReader(content))
    metadata = dict(table.schema.metadata)
    if random.random() < 0.7:
        described = zlib.decompress(base64.b64decode(metadata[b"memosweep"])).decode()
        damaged = damage_json(described, random).encode(errors="surrogatepass")
        metadata[b"memosweep"] = base64.b64encode(zlib.compress(damaged))
    else:
        column = int(random.integers(table.num_columns))
        values: Any = choose(random, ("x", None, float("nan"), -1, 2**62, True))
        replaced = pa.array([values] * table.num_rows)
        table = choose(
            random,
            (
                table.remove_column(column),
                table.set_column(column, table.column_names[column], replaced),
                table.slice(1),
                table.append_column("more", replaced),
            ),
        )
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return bytes(sink.getvalue().to_pybytes())


def damage_json_file(content: bytes, random: Random) -> bytes:
    """One JSON document."""
    return damage_json(content.decode(), random).encode(errors="surrogatepass")


def damage_json_lines_file(content: bytes, random: Random) -> bytes:
    """JSON lines."""
    return damage_json_lines(content.decode(), random).encode(errors="surrogatepass")


def corrupt(file: Path, inside: Any, random: Random) -> None:
    """Damage a file in place: its bytes, or half of the time what it holds, by the function `inside`."""
    content = file.read_bytes()
    damaged = damage_bytes(content, random) if random.random() < 0.5 else inside(content, random)
    # Damage that changes nothing would test nothing.
    file.write_bytes(damaged if damaged != content else content[:-1])
