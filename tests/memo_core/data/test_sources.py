import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from memo_core.data import open_source, write_npz
from memo_core.data.training_set import load_image_set
from memo_core.errors import MemosweepError


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def edm_zip(path, images, labels=None, broken=None):
    with zipfile.ZipFile(path, "w") as archive:
        names = [f"00000/img{index:08d}.png" for index in range(len(images))]
        for index, name in reversed(list(enumerate(names))):
            content = png(images[index])
            archive.writestr(name, content[: len(content) // 2] if index == broken else content)
        listed = None if labels is None else [[name, label] for name, label in zip(names, labels, strict=True)]
        archive.writestr("dataset.json", json.dumps({"labels": listed}))
    return path


def test_an_edm_zip_is_read_in_the_order_of_its_names(tmp_path, images):
    source = open_source(str(edm_zip(tmp_path / "a.zip", images, [3, 1, 4, 1, 5, 9])))
    assert source.labels.tolist() == [3, 1, 4, 1, 5, 9]
    np.testing.assert_array_equal(source.read(2), np.moveaxis(images[2], 2, 0))


def test_a_folder_and_an_npz_hold_the_same_images_as_the_zip(tmp_path, images):
    file = edm_zip(tmp_path / "a.zip", images, range(6))
    zipfile.ZipFile(file).extractall(tmp_path / "folder")
    expected = load_image_set(str(file)).numpy()
    write_npz(tmp_path / "a.npz", expected, np.arange(6))
    for other in ("folder", "a.npz"):
        np.testing.assert_array_equal(load_image_set(str(tmp_path / other)).numpy(), expected)
        assert open_source(str(tmp_path / other)).labels.tolist() == list(range(6))


def test_digits_are_scaled_from_16_to_255():
    source = open_source("digits")
    pixels = np.stack([source.read(index) for index in range(source.size)])
    assert pixels.shape == (1797, 1, 8, 8)
    assert set(np.unique(pixels)) == {round(value * 255 / 16) for value in range(17)}


def test_a_truncated_image_is_named(tmp_path, images):
    with pytest.raises(MemosweepError, match=r"img00000003.png.*(broken|truncated)"):
        load_image_set(str(edm_zip(tmp_path / "a.zip", images, broken=3)))


def npy():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 1, 8, 8), np.uint8))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", npy(), "a single array"),
        ("a.zip", b"no zip", "broken zip"),
        ("a.npz", b"no npz", "broken .npz"),
        ("a.tar", b"", "only .zip and .npz"),
        ("missing.zip", None, "neither digits nor cifar10"),
    ],
)
def test_files_that_are_no_image_set_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MemosweepError, match=message):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("", "empty name"),
        (" ", "empty name"),
        ("~nosuchuser/x.zip", "cannot be read"),
        ("a" * 5000 + ".zip", "cannot be read"),
        ("/" + "a" * 300 + "/x.npz", "cannot be read"),
    ],
    ids=lambda value: value[:20],
)
def test_names_that_cannot_be_paths_are_refused(dataset, message):
    with pytest.raises(MemosweepError, match=message) as caught:
        open_source(dataset)
    assert len(str(caught.value)) < 300


INDICES = [
    (b"{broken", "not readable JSON"),
    (b"\xff\xfe\x80{", "not readable JSON"),
    (b"[" * 100_000, "not readable JSON"),
    (b'[["a.png", 0]]', "is a list"),
    (b"null", "is a NoneType"),
    (b'{"labels": 5}', "not a list of"),
    (b'{"labels": {"ab": 1}}', "not a list of"),
    (b'{"labels": [[5, 1]]}', "not a list of"),
    (b'{"labels": ["ab"]}', "not a list of"),
    (b'{"labels": [["a.png", [0, 1]], ["b.png", 1]]}', "not all integers"),
    (b'{"labels": [["a.png", null], ["b.png", 1]]}', "expected 2 integers"),
    (b'{"labels": [["a.png", -1], ["b.png", 1]]}', "label -1"),
    (b'{"labels": [["a.png", 9223372036854775808], ["b.png", 9223372036854775808]]}', "9223372036854775808"),
    (b'{"labels": [["a.png", 0]]}', "no label for 'b.png'"),
]


@pytest.mark.parametrize(("content", "message"), INDICES, ids=lambda value: repr(value)[:30])
def test_a_broken_dataset_json_is_refused_in_a_folder_and_in_a_zip(tmp_path, content, message):
    folder = tmp_path / "folder.zip"  # a folder may be called so
    folder.mkdir()
    (folder / "dataset.json").write_bytes(content)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(png(np.zeros((8, 8), np.uint8)))
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    for where in (folder, tmp_path / "file.zip"):
        with pytest.raises(MemosweepError, match=message) as caught:
            open_source(str(where))
        assert str(where) in str(caught.value)
        assert "\n" not in str(caught.value)


def damaged_deflate(path, kind):
    """Overwrites the compressed bytes of every member, leaving the directory of the archive as it is."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            start = member.header_offset + 30 + len(member.filename) + len(member.extra)
            content[start + 1 : start + member.compress_size] = b"\xff" * (member.compress_size - 1)
            if kind == "encrypted":
                content[member.header_offset + 6] |= 1
            elif kind == "unknown compression":
                content[member.header_offset + 8] = 99
    # The same bits of the directory at the end.
    position = content.find(b"PK\x01\x02")
    while position >= 0:
        if kind == "encrypted":
            content[position + 8] |= 1
        elif kind == "unknown compression":
            content[position + 10] = 99
        position = content.find(b"PK\x01\x02", position + 4)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["damaged", "encrypted", "unknown compression"])
def test_members_that_cannot_be_unpacked_are_refused(tmp_path, images, kind):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", png(images[0]))
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((2, 3, 8, 8), np.uint8))
    for name in ("a.zip", "a.npz"):
        damaged_deflate(tmp_path / name, kind)
        with pytest.raises(MemosweepError, match=r"a\..*(broken|unreadable)") as caught:
            load_image_set(str(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 1, 0, 8)])
def test_an_npz_without_images_is_refused(tmp_path, shape):
    write_npz(tmp_path / "a.npz", np.zeros(shape, np.uint8), None)
    with pytest.raises(MemosweepError, match="holds no images"):
        open_source(str(tmp_path / "a.npz"))


def test_files_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    for name in ("a.npz", "a.zip", "folder/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    # The permissions themselves do not stop root.
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("io.open", forbidden)
    monkeypatch.setattr("builtins.open", forbidden)
    for name in ("a.npz", "a.zip", "folder"):
        with pytest.raises(MemosweepError, match=rf"{name}.*Permission denied"):
            load_image_set(str(tmp_path / name))


def test_an_npz_of_floats_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 8, 8)))
    with pytest.raises(MemosweepError, match="uint8"):
        open_source(str(tmp_path / "a.npz"))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(MemosweepError, match="no images"):
        open_source(str(tmp_path))


def test_cifar10_without_a_network_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMOSWEEP_DATA", str(tmp_path))

    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    with pytest.raises(MemosweepError, match="put cifar-10-batches-py there"):
        open_source("cifar10")
