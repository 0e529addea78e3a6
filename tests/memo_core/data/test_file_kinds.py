import gzip
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from memo_core.data.file_kinds import HEAD_SIZE, identify


def _tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


def _torch(legacy):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def _npy():
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (_torch(legacy=False), "zip"),
        (_torch(legacy=True), "torch-legacy"),
        (save({"a": torch.ones(1)}), "safetensors"),
        *((pickle.dumps({"a": [1]}, protocol=protocol), "pickle") for protocol in range(6)),
        (b"<!DOCTYPE html><html>", "html"),
        (b"\xef\xbb\xbf\n  <HTML lang='en'>", "html"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "lfs-pointer"),
        (b"../.git/annex/objects/ab/cd/SHA256E-s1.pkl", "annex-pointer"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "xml"),
        (bytes(500), "zeros"),
        (gzip.compress(b"a"), "gzip"),
        (_tar(), "tar"),
        (_npy(), "npy"),
        (b"\x89PNG\r\n\x1a\n\0\0", "image"),
        (b'{"error": "not found"}', "json"),
        (b"[1, 2]", "json"),
        (b"Entry not found", "text"),
        (b"\x01\x02\x03\x04", "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kinds_by_their_first_bytes(content, kind):
    assert identify(content[:HEAD_SIZE]).name == kind


@given(st.binary(max_size=200))
def test_any_bytes_have_a_kind_that_says_what_it_is(head):
    kind = identify(head)
    assert kind.what
