import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from memo_core.data import load_training_set, open_source, write_npz
from memo_core.data.image_sets import resize_image
from memo_core.data.training_set import load_image_set
from memo_core.errors import MemosweepError
from memo_core.experiment import DataConfig


def test_sizes_nest_and_so_do_their_labels():
    small = load_training_set(DataConfig(size=50, labels="random", num_labels=5))
    large = load_training_set(DataConfig(size=120, labels="random", num_labels=5))
    assert torch.equal(small.images, large.images[:50])
    assert torch.equal(small.labels, large.labels[:50])


def test_equal_configurations_give_equal_sets_and_other_seeds_other_sets():
    one, again = (load_training_set(DataConfig(size=30)) for _ in range(2))
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.images, load_training_set(DataConfig(size=30, seed=1)).images)


def test_labels_of_each_kind():
    assert load_training_set(DataConfig(size=20)).labels is None
    unique = load_training_set(DataConfig(size=20, labels="unique"))
    assert (unique.labels.tolist(), unique.num_labels) == (list(range(20)), 20)
    true = load_training_set(DataConfig(size=20, labels="true", classes=(2, 7)))
    assert true.num_labels == 2
    assert [(2, 7)[label] for label in true.labels] == list(true.classes)


def test_true_labels_nest_whatever_the_size():
    small = load_training_set(DataConfig(size=5, labels="true"))
    large = load_training_set(DataConfig(size=40, labels="true"))
    assert (small.num_labels, large.num_labels) == (10, 10)
    assert torch.equal(small.labels, large.labels[:5])


def test_random_labels_are_uniform():
    labels = load_training_set(DataConfig(size=1700, labels="random", num_labels=4)).labels
    counts = torch.bincount(labels, minlength=4)
    assert counts.sum() == 1700
    assert counts.min() > 340


def test_changing_the_labels_leaves_the_images():
    sets = [load_training_set(DataConfig(size=40, labels=kind)) for kind in ("none", "true", "random", "unique")]
    assert all(torch.equal(sets[0].images, other.images) for other in sets)


def test_downsampling_averages_areas():
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    expected = np.floor(image.reshape(1, 4, 2, 4, 2).mean((2, 4)) + 0.5)
    np.testing.assert_array_equal(resize_image(image, 4, "made"), expected)


def test_an_oblong_image_is_cut_at_the_centre():
    image = np.zeros((3, 8, 12), np.uint8)
    image[:, :, 2:10] = 200
    assert resize_image(image, 4, "made").tolist() == np.full((3, 4, 4), 200).tolist()
    with pytest.raises(MemosweepError, match=r"set data\.resolution"):
        resize_image(image, None, "made")


@pytest.mark.parametrize(("ratio", "threes"), [(0.0, 20), (0.2, 16), (0.5, 10), (1.0, 0)])
def test_blending_takes_its_share_of_the_second_source(ratio, threes):
    config = DataConfig(size=20, classes=(3,), blend_dataset="digits", blend_classes=(0, 1), blend_ratio=ratio)
    assert load_training_set(config).classes.count(3) == threes


def test_a_source_is_not_blended_with_classes_that_it_gives_already(tmp_path):
    common = {"size": 20, "blend_dataset": "digits", "blend_ratio": 0.5}
    with pytest.raises(MemosweepError, match=r"classes \[\d\] of both would be there twice"):
        load_training_set(DataConfig(**common, classes=1, blend_classes=tuple(range(10))))
    assert set(load_training_set(DataConfig(**common, classes=(1, 2), blend_classes=(3,))).classes) == {1, 2, 3}
    images = np.arange(30 * 64, dtype=np.uint16).astype(np.uint8).reshape(30, 1, 8, 8)
    write_npz(tmp_path / "plain.npz", images, None)
    (tmp_path / "other").mkdir()
    aside = tmp_path / "other" / ".." / "plain.npz"
    with pytest.raises(MemosweepError, match="images of both would be there twice"):
        load_training_set(
            DataConfig(dataset=str(tmp_path / "plain.npz"), size=20, blend_dataset=str(aside), blend_ratio=0.5)
        )


def test_grey_becomes_rgb_where_a_set_holds_both(tmp_path):
    grey, colour = np.full((8, 8), 9, np.uint8), np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    for name, pixels in (("a.png", grey), ("b.png", colour), ("c.png", grey)):
        Image.fromarray(pixels).save(tmp_path / name)
    images = load_image_set(str(tmp_path))
    assert images.shape == (3, 3, 8, 8)
    assert torch.equal(images[0], torch.full((3, 8, 8), 9, dtype=torch.uint8))
    assert torch.equal(images[1], torch.from_numpy(np.moveaxis(colour, 2, 0)))


@pytest.mark.parametrize("grey_first", [True, False])
def test_blending_a_grey_with_a_colour_source_makes_all_rgb(tmp_path, grey_first):
    write_npz(tmp_path / "colour.npz", np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8), np.uint8), None)
    first, second = ["digits", str(tmp_path / "colour.npz")][:: 1 if grey_first else -1]
    blended = load_training_set(DataConfig(dataset=first, size=8, blend_dataset=second, blend_ratio=0.5)).images
    assert blended.shape == (8, 3, 8, 8)
    assert [bool((image == image[0]).all()) for image in blended].count(True) == 4


def test_sizes_that_differ_are_named(tmp_path):
    for name, side in (("a.png", 8), ("b.png", 9)):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / name)
    with pytest.raises(MemosweepError, match=r"b.png: 9 x 9 pixels differ from 8 x 8 of .*a.png"):
        load_image_set(str(tmp_path))


def test_true_labels_need_labelled_images(tmp_path):
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for index in range(4):
            Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / f"{index}.png")
            archive.write(tmp_path / f"{index}.png", f"{index}.png")
        archive.writestr("dataset.json", json.dumps({"labels": None}))
    with pytest.raises(MemosweepError, match="has no labels"):
        load_training_set(DataConfig(dataset=str(tmp_path / "plain.zip"), size=4, labels="true"))
    assert len(load_training_set(DataConfig(dataset=str(tmp_path / "plain.zip"), size=4, labels="unique"))) == 4


def test_cifar10_images_downsample(cifar10_zip):
    full = load_training_set(DataConfig(dataset=str(cifar10_zip), size=200))
    half = load_training_set(DataConfig(dataset=str(cifar10_zip), size=200, resolution=16))
    assert full.image_shape == (3, 32, 32)
    means = full.images.float().reshape(200, 3, 16, 2, 16, 2).mean((3, 5))
    assert (half.images.float() - means).abs().max() <= 0.5
    classes = np.bincount([label for label in full.classes if label is not None])
    assert classes.tolist() == [20] * 10


def test_sources_decode_only_what_is_asked_for(cifar10_zip):
    source = open_source(str(cifar10_zip))
    assert source.size == 5085
