import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from memo_core.data import open_source, write_npz
from memo_core.data.image_sets import IMAGE_ENDINGS
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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"no npy", "broken .npy"),
        ("a.png", b"", "a single image, name its folder"),
        ("a.zip", b"no zip", "broken zip"),
        ("a.npz", b"no npz", "broken .npz"),
        ("a.tar", b"", "unpack another archive into a folder"),
        ("a.npz", b"<!DOCTYPE html><html>", "is a web page, saved in place of the file, not arrays of images; open"),
        ("a.npy", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*; run `git lfs pull`"),
        ("a.npz", b"", "is an empty file.*get the file again"),
        ("a.npy", pickle.dumps([1]), "is a Python pickle, not arrays of images$"),
        ("a.zip", b"<html>", "a.zip: is a web page, saved in place of the file, not a zip; open"),
        ("a.zip", b"", "is an empty file, not a zip"),
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


@pytest.mark.parametrize("content", [b"{broken", b"\xff\xfe\x80{", b"[" * 100_000], ids=len)
def test_a_broken_index_is_refused_where_labels_are_asked_for(tmp_path, content):
    folder = tmp_path / "folder.zip"  # a folder may be called so
    folder.mkdir()
    (folder / "dataset.json").write_bytes(content)
    (folder / "a.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    for where in (folder, tmp_path / "file.zip"):
        source = open_source(str(where))
        assert source.labels is None
        with pytest.raises(MemosweepError, match="not readable JSON") as caught:
            source.check_labels("data.labels = true")
        assert str(caught.value).startswith(f"data.labels = true: {where}: ")
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


def test_a_folder_without_images_is_refused_with_what_it_holds(tmp_path):
    with pytest.raises(MemosweepError, match=r"no images \(.*\)$"):
        open_source(str(tmp_path))
    (tmp_path / "a.txt").touch()
    (tmp_path / ".b.png").touch()
    with pytest.raises(MemosweepError, match=r"no images \(.*\) but .*\*\.txt \(1\)"):
        open_source(str(tmp_path))


def write_files(where, names, images):
    """Write images as files or, where `where` is called so, into a zip; a name without image is a file of text."""
    pixels = iter(images)
    contents = {name: png(next(pixels)) if name.endswith(".png") and "._" not in name else b"text" for name in names}
    if where.suffix == ".zip":
        with zipfile.ZipFile(where, "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
    else:
        for name, content in contents.items():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_bytes(content)


@pytest.mark.parametrize("kind", ["a.zip", "a"])
def test_foreign_files_are_no_data_and_are_counted_in_one_line(tmp_path, images, kind, caplog):
    caplog.set_level("INFO", "memo_core.data")
    foreign = ["__MACOSX/._0.png", "__MACOSX/set/._0.png", "set/.ipynb_checkpoints/0-checkpoint.png", "set/Thumbs.db"]
    write_files(tmp_path / kind, ["set/0.png", "set/1.png", *foreign], images)
    np.testing.assert_array_equal(load_image_set(str(tmp_path / kind)), np.moveaxis(images[:2], 3, 1))
    assert caplog.messages == [
        f"{tmp_path / kind}: 4 files are passed over: __MACOSX (2), .ipynb_checkpoints (1), Thumbs.db (1)"
    ]


def test_nothing_is_said_where_nothing_is_passed_over(tmp_path, images, caplog):
    caplog.set_level("INFO", "memo_core.data")
    load_image_set(str(edm_zip(tmp_path / "a.zip", images, [0] * 6)))
    assert caplog.messages == []


@pytest.mark.parametrize("kind", ["zip", "folder"])
@pytest.mark.parametrize("above", ["mydata/", "a/b/"])
def test_the_index_is_found_below_folders_that_hold_everything(tmp_path, images, kind, above):
    file = edm_zip(tmp_path / "plain.zip", images, [3, 1, 4, 1, 5, 9])
    with zipfile.ZipFile(file) as plain, zipfile.ZipFile(tmp_path / "a.zip", "w") as nested:
        for name in plain.namelist():
            nested.writestr(above + name, plain.read(name))
        nested.writestr("README.txt", "text")
        nested.extractall(tmp_path / "folder")
    source = open_source(str(tmp_path / ("a.zip" if kind == "zip" else "folder")))
    assert source.labels.tolist() == [3, 1, 4, 1, 5, 9]


@pytest.mark.parametrize("name", ["https://a.b/c.zip", "s3://bucket/set", "https:/a.b/c.zip"])
def test_a_url_is_to_be_downloaded_first(name):
    with pytest.raises(MemosweepError, match="is a URL, and data sets are read from files; download it first"):
        open_source(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "a.png: is a web page, saved in place of the file, not an image; open"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a.png: is a Git LFS pointer"),
        (b"", "a.png: is an empty file"),
        (b"\x89PNG\r\n\x1a\n", "a.png: a broken, truncated"),
    ],
)
def test_what_is_saved_in_place_of_an_image_is_named(tmp_path, content, message):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.png", content)
    for name in ("set", "set.zip"):
        with pytest.raises(MemosweepError, match=message):
            load_image_set(str(tmp_path / name))


def test_control_characters_of_names_are_escaped(tmp_path, images):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a\x1b[2J\n.png", png(images[0]))
    assert open_source(str(tmp_path / "a.zip")).name_of(0).endswith("a.zip: a\\x1b[2J\\n.png")


@pytest.mark.parametrize("ending", [ending for ending in (".apng", ".tga", ".jp2", ".avif") if ending in IMAGE_ENDINGS])
def test_further_endings_that_pillow_reads_are_images(tmp_path, images, ending):
    (tmp_path / "set").mkdir()
    Image.fromarray(images[0]).save(tmp_path / f"set/a{ending}")
    assert load_image_set(str(tmp_path / "set")).shape == (1, 3, 8, 8)


def test_sets_that_measure_cannot_take_are_told_what_it_can_do(tmp_path, images):
    write_files(tmp_path / "wide", ["0.png"], images[:, :4])
    with pytest.raises(MemosweepError, match="8 x 4 pixels is not square, crop the images first"):
        load_image_set(str(tmp_path / "wide"))
    write_files(tmp_path / "two", ["0.png"], images)
    write_files(tmp_path / "two", ["1.png"], images[:, :4, :4])
    with pytest.raises(MemosweepError, match=r"4 x 4 pixels differ from 8 x 8 of .*; resize them first"):
        load_image_set(str(tmp_path / "two"))


def test_an_index_without_labels_leaves_the_folders_as_classes(tmp_path, images, caplog):
    caplog.set_level("INFO", "memo_core.data")
    write_files(tmp_path / "a", ["fox/0.png", "cat/1.png"], images)
    (tmp_path / "a/dataset.json").write_text('{"title": "my data"}')
    assert open_source(str(tmp_path / "a")).class_folders == ("cat", "fox")
    assert caplog.text == ""
    (tmp_path / "a/dataset.json").write_text('{"labels": null}')
    assert open_source(str(tmp_path / "a")).labels.tolist() == [0, 1]
    assert "dataset.json has no labels, so the folders are the classes" in caplog.text


def test_folders_of_samples_are_read_in_order_and_are_no_classes(tmp_path, images):
    write_files(tmp_path / "a", ["000000/000012.png", "000000/000999.png", "001000/001000.png"], images)
    source = open_source(str(tmp_path / "a"))
    assert (source.size, source.labels, source.labels_problem) == (3, None, None)
    np.testing.assert_array_equal(load_image_set(str(tmp_path / "a")), np.moveaxis(images[:3], 3, 1))


def test_endings_are_read_in_any_case(tmp_path, images):
    kinds = {"0.PNG": "png", "1.JPEG": "jpeg", "2.jfif": "jpeg", "3.webp": "webp", "4.Bmp": "bmp", "5.gif": "gif"}
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile(tmp_path / "a.ZIP", "w") as archive:
        for pixels, (name, kind) in zip(images, kinds.items(), strict=True):
            Image.fromarray(pixels).save(tmp_path / "folder" / name, kind)
            archive.write(tmp_path / "folder" / name, f"top/{name}")
        archive.writestr("top/", b"")
    for name in ("folder", "a.ZIP"):
        read = load_image_set(str(tmp_path / name))
        assert read.shape == (6, 3, 8, 8)
        np.testing.assert_array_equal(read[[0, 4]], np.moveaxis(images[[0, 4]], 3, 1))


def test_random_damage_to_a_zip_ends_in_one_line(tmp_path, images):
    whole = edm_zip(tmp_path / "whole.zip", images[:2], [0, 1]).read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(whole)
        for position in generator.integers(len(content), size=3):
            content[position] = generator.integers(256)
        (tmp_path / "a.zip").write_bytes(content)
        try:
            source = open_source(str(tmp_path / "a.zip"))
            source.check_labels("data.labels = true")
            source.read(0)
        except MemosweepError as error:
            assert "\n" not in str(error)


def test_samples_of_other_tools_are_read(tmp_path, images):
    np.savez(tmp_path / "a.NPZ.npz", images)
    (tmp_path / "a.NPZ.npz").rename(tmp_path / "a.NPZ")
    np.save(tmp_path / "a.npy", images)
    for name in ("a.NPZ", "a.npy"):
        np.testing.assert_array_equal(load_image_set(str(tmp_path / name)), np.moveaxis(images, 3, 1))


def test_labels_of_arrays_are_checked_where_they_are_asked_for(tmp_path, images):
    np.savez(tmp_path / "floats.npz", images=np.moveaxis(images, 3, 1), labels=np.arange(6) / 1.0)
    np.savez(tmp_path / "vectors.npz", images=np.moveaxis(images, 3, 1), labels=np.zeros((6, 5)))
    assert open_source(str(tmp_path / "floats.npz")).labels.tolist() == list(range(6))
    source = open_source(str(tmp_path / "vectors.npz"))
    assert source.labels is None
    with pytest.raises(MemosweepError, match=r"vectors.npz: labels of float64 \(6, 5\), expected 6 integers"):
        source.check_labels("data.classes = 2")


def test_cifar10_without_a_network_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMOSWEEP_DATA", str(tmp_path))

    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    with pytest.raises(MemosweepError, match="put cifar-10-batches-py there"):
        open_source("cifar10")
