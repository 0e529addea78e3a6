import io
import zipfile

import numpy as np
import pytest

from memo_core.data.arrays import read_arrays
from memo_core.errors import MemosweepError

COLOR = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
GRAY = COLOR[:, :1]
LABELS = np.arange(5)


def last(images):
    return np.moveaxis(images, 1, 3)


@pytest.mark.parametrize("images", [COLOR, GRAY])
@pytest.mark.parametrize("layout", [lambda images: images, last])
@pytest.mark.parametrize("name", ["images", "arr_0", "samples", "other"])
def test_the_shape_tells_the_layout(tmp_path, name, layout, images):
    np.savez(tmp_path / "a.npz", **{name: layout(images)})
    read, labels = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(read, images)
    assert labels is None


@pytest.mark.parametrize("images", [COLOR, last(COLOR), GRAY, last(GRAY), GRAY[:, 0]])
def test_an_npy_holds_images_too(tmp_path, images):
    np.save(tmp_path / "a.npy", images)
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy")[0], COLOR if 3 in images.shape else GRAY)


@pytest.mark.parametrize("images", [COLOR, GRAY])
def test_alpha_is_dropped(tmp_path, images):
    rgba = np.concatenate([np.broadcast_to(images, COLOR.shape), GRAY], axis=1)
    for layout in (rgba, last(rgba)):
        np.savez(tmp_path / "a.npz", images=layout)
        np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")[0], np.broadcast_to(images, COLOR.shape))


def test_labels_stand_beside_the_images(tmp_path):
    np.savez(tmp_path / "own.npz", images=COLOR, labels=LABELS)
    np.savez(tmp_path / "sampler.npz", last(COLOR), LABELS)
    for name in ("own.npz", "sampler.npz"):
        np.testing.assert_array_equal(read_arrays(tmp_path / name)[1], LABELS)


def test_our_own_layout_is_never_in_doubt(tmp_path):
    narrow = np.zeros((2, 3, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images=narrow)
    assert read_arrays(tmp_path / "a.npz")[0].shape == narrow.shape


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"arr_0": np.zeros((2, 3, 8, 3), np.uint8)}, "could have its channels first or last; .*images=..."),
        ({"arr_0": np.zeros((2, 8, 8, 5), np.uint8)}, "does not tell which are the channels; .*images=..."),
        ({"arr_0": np.zeros((2, 4, 8, 4), np.uint8)}, "does not tell which are the channels"),
        ({"arr_0": np.zeros((8, 8, 3), np.uint8)}, "one color image, or several gray ones"),
        ({"arr_0": np.zeros((3, 8, 8), np.uint8)}, "one color image, or several gray ones"),
        ({"images": np.zeros((2, 192), np.uint8)}, "does not tell which are the channels"),
        ({"images": COLOR / 127.5 - 1}, r"float64 \(5, 3, 8, 8\), expected .*uint8.* -1 to 1: \(127.5 \* x \+ 128"),
        ({"images": COLOR / 255}, r"from 0 to 1: \(255 \* x\).round\(\).astype\('uint8'\)$"),
        ({"images": COLOR.astype(np.float32)}, r"from 0 to 255: x.round\(\).astype\('uint8'\)$"),
        ({"images": COLOR.astype(np.float32) * np.nan}, r"C = 1 or 3$"),
        ({"arr_0": COLOR.astype(np.int64)}, r"int64 .* from 0 to 255: x.astype\('uint8'\)$"),
        ({"arr_0": COLOR.astype(np.int64) * 9}, r"int64 .*C = 1 or 3$"),
        ({"arr_0": COLOR > 9}, r"bool .* \(255 \* x\)"),
        ({"mu": np.zeros(9), "sigma": np.zeros((9, 9))}, "no `images` .* but 'mu', 'sigma', expected"),
        ({}, "no `images` .* but nothing"),
        ({"images": np.zeros((0, 3, 8, 8), np.uint8)}, "holds no images"),
        ({"images": np.zeros((2, 1, 0, 8), np.uint8)}, "holds no images"),
        ({"images": np.array([None])}, r"broken .npz file \(Python objects, expected numbers\)$"),
    ],
)
def test_what_does_not_tell_its_pixels_is_refused_with_what_to_do(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(MemosweepError, match=message) as caught:
        read_arrays(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", ["images.npy", "images"])
def test_an_entry_that_is_no_array_is_refused(tmp_path, entry):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(entry, b"no array")
    with pytest.raises(MemosweepError, match=r"a broken .npz file"):
        read_arrays(tmp_path / "a.npz")


def test_broken_labels_do_not_stop_the_images(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        content = io.BytesIO()
        np.save(content, COLOR)
        archive.writestr("images.npy", content.getvalue())
        archive.writestr("labels.npy", b"no array")
    images, labels = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(images, COLOR)
    assert isinstance(labels, MemosweepError)
    np.savez(tmp_path / "b.npz", images=COLOR, labels=np.array([None] * 5))
    assert isinstance(read_arrays(tmp_path / "b.npz")[1], MemosweepError)


def test_random_damage_ends_in_one_line(tmp_path):
    generator = np.random.default_rng(0)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "whole.npz", images=COLOR[:2], labels=LABELS[:2])
        whole = (tmp_path / "whole.npz").read_bytes()
        for _ in range(150):
            content = bytearray(whole)
            for position in generator.integers(len(content), size=3):
                content[position] = generator.integers(256)
            (tmp_path / "a.npz").write_bytes(content)
            try:
                assert read_arrays(tmp_path / "a.npz")[0].dtype == np.uint8
            except MemosweepError as error:
                assert "\n" not in str(error)
