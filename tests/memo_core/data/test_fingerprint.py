import numpy as np
import pytest
import torch

from memo_core.data import load_training_set, source_sha256, write_edm_zip, write_npz
from memo_core.data.fingerprint import pixels_sha256
from memo_core.experiment import DataConfig


def random_images(count=6, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, 1, side, side), dtype=np.uint8)


def test_a_training_set_is_known_by_its_pixels_labels_and_shape():
    images = torch.from_numpy(random_images())
    labels = torch.arange(6)
    changed = images.clone()
    changed[3, 0, 2, 1] ^= 1
    found = [
        pixels_sha256(images, labels),
        pixels_sha256(images, None),
        pixels_sha256(images, labels.flip(0)),
        pixels_sha256(images.flip(0), labels),
        pixels_sha256(changed, labels),
        pixels_sha256(images.reshape(6, 1, 4, 16), labels),
    ]
    assert len(set(found)) == len(found)
    assert pixels_sha256(images.clone(), labels.int()) == found[0]


def test_a_training_set_computes_it_once_and_on_every_device():
    data = load_training_set(DataConfig(size=10))
    assert data.pixels_sha256 is data.pixels_sha256
    assert data.pixels_sha256 == data.to("cpu").pixels_sha256
    assert data.pixels_sha256 != load_training_set(DataConfig(size=10, seed=1)).pixels_sha256


def test_a_source_is_known_by_all_of_its_images_whatever_is_chosen_and_however_they_are_stored(tmp_path):
    images, labels = random_images(), np.arange(6)
    write_npz(tmp_path / "a.npz", images, labels)
    write_edm_zip(tmp_path / "a.zip", images, labels)
    write_npz(tmp_path / "b.npz", np.ascontiguousarray(images[::-1]), labels)
    hashes = {
        name: source_sha256(DataConfig(dataset=str(tmp_path / name), size=3))[str(tmp_path / name)]
        for name in ("a.npz", "a.zip", "b.npz")
    }
    assert hashes["a.npz"] == hashes["a.zip"] != hashes["b.npz"]
    other = DataConfig(dataset=str(tmp_path / "a.npz"), size=5, seed=4, resolution=4)
    assert source_sha256(other) == {str(tmp_path / "a.npz"): hashes["a.npz"]}


@pytest.mark.parametrize(("ratio", "expected"), [(0, ["a"]), (0.5, ["a", "b"]), (1, ["b"])])
def test_each_source_that_is_used_is_read_once(tmp_path, monkeypatch, ratio, expected):
    opened = []
    for name in ("a", "b"):
        write_npz(tmp_path / f"{name}.npz", random_images(), None)
    monkeypatch.chdir(tmp_path)
    from memo_core.data import fingerprint

    original = fingerprint.open_source
    monkeypatch.setattr(fingerprint, "open_source", lambda name: opened.append(name) or original(name))
    sections = [DataConfig(dataset="a.npz", blend_dataset="b.npz", blend_ratio=ratio, size=n) for n in (2, 4)]
    assert list(source_sha256(*sections)) == [f"{name}.npz" for name in expected]
    assert opened == [f"{name}.npz" for name in expected]
