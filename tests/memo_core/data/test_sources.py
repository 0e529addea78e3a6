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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
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
