"""What kind of file begins with the given bytes, for formats that people hold for snapshots or image sets.

Sources: the formats' published signatures (see also the man page of `file`), and the specifications of
safetensors and of Git LFS pointers.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

HEAD_SIZE = 1024
"""Bytes that `identify` needs of a file."""

_AGAIN = "the download or copy is incomplete, get the file again"
_UNPACK = "unpack it first, then name the file inside"


@dataclass(frozen=True)
class FileKind:
    """One kind of file."""

    name: str
    """Short and stable, for code: `zip`, `pickle` and `safetensors` may be snapshots."""
    beginning: re.Pattern[bytes]
    what: str = ""
    """In words, after "is"."""
    advice: str = ""
    """What to do instead of using this file; empty where only another file helps."""


def _kind(name: str, beginning: bytes, what: str = "", advice: str = "") -> FileKind:
    return FileKind(name, re.compile(beginning, re.DOTALL), what, advice)


_KINDS = (
    _kind("empty", rb"\Z", "an empty file", _AGAIN),
    _kind("zip", rb"PK\x03\x04", "a zip archive"),
    _kind("zip-empty", rb"PK\x05\x06", "an empty zip archive"),
    # Length of the header, at most 100 MB, then the header, which is a JSON object.
    _kind("safetensors", rb"...[\x00-\x05]\x00{4}\{", "a safetensors file"),
    _kind(
        "torch-legacy",
        rb"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19",
        "a PyTorch file in the format of versions before 1.6, of another project",
    ),
    _kind("pickle", rb"\x80[\x02-\x05]", "a Python pickle"),
    _kind(
        "html",
        rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|title|script|meta|!--)",
        "a web page, saved in place of the file",
        "open the address in a browser, confirm the download there, and save the file itself",
    ),
    _kind(
        "lfs-pointer",
        rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/",
        "a Git LFS pointer, which stands in place of the file",
        "run `git lfs pull` in its repository",
    ),
    _kind(
        "annex-pointer",
        rb"[./\\]*(?:\.git)?/annex/objects/",
        "a git-annex pointer, which stands in place of the file",
        "run `git annex get` in its repository",
    ),
    _kind(
        "xml",
        rb"(?:\xef\xbb\xbf)?\s*<\?xml",
        "an XML document, perhaps a server's error message saved in place of the file",
        "look into it and download the file again",
    ),
    _kind("zeros", rb"\x00{16,}\Z", "filled with zeros", _AGAIN),
    _kind("gzip", rb"\x1f\x8b", "compressed with gzip", _UNPACK),
    _kind("bzip2", rb"BZh[1-9]", "compressed with bzip2", _UNPACK),
    _kind("xz", rb"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    _kind("zstandard", rb"\x28\xb5\x2f\xfd", "compressed with Zstandard", _UNPACK),
    _kind("7z", rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    _kind("rar", rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    _kind("tar", rb".{257}ustar", "a tar archive", _UNPACK),
    _kind("npy", rb"\x93NUMPY", "a NumPy array"),
    _kind("hdf5", rb"\x89HDF\r\n\x1a\n", "an HDF5 file (such as Keras weights)"),
    _kind("gguf", rb"GGUF", "a GGUF file"),
    _kind("image", rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|BM.{4}\x00{4}|RIFF.{4}WEBP", "an image"),
    _kind(
        "json",
        rb"(?:\xef\xbb\xbf)?\s*(?:\{\s*[\"}]|\[\s*[\[{\"\]0-9])",
        "a JSON file",
        "where it describes a .safetensors file, name that file",
    ),
    # Protocols 0 and 1, which have no signature.
    _kind("pickle", rb"[(}\])]|c[A-Za-z_][\w.]*\r?\n", "a Python pickle, or damaged"),
    _kind("text", rb"[\t\n\r\x20-\x7e\x80-\xff]+\Z", "a text file"),
    _kind("unknown", rb"", "of an unknown format"),
)
"""The first that matches counts; the last matches everything."""


def identify(head: bytes) -> FileKind:
    """Return the kind of a file from its first `HEAD_SIZE` bytes, all of them where it is shorter."""
    return next(kind for kind in _KINDS if kind.beginning.match(head))


def foreign_kind(head: bytes, expected: Collection[str]) -> FileKind | None:
    """Return the kind of a file that is clearly another one than expected, however its name ends; None otherwise.

    Args:
        head: as for `identify`.
        expected: the names of the kinds that it may be.
    """
    kind = identify(head)
    return None if kind.name in (*expected, "unknown") else kind
