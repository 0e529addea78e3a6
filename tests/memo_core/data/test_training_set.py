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


def test_an_oblong_image_is_cut_at_the_center():
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


def test_gray_becomes_rgb_where_a_set_holds_both(tmp_path):
    gray, color = np.full((8, 8), 9, np.uint8), np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    for name, pixels in (("a.png", gray), ("b.png", color), ("c.png", gray)):
        Image.fromarray(pixels).save(tmp_path / name)
    images = load_image_set(str(tmp_path))
    assert images.shape == (3, 3, 8, 8)
    assert torch.equal(images[0], torch.full((3, 8, 8), 9, dtype=torch.uint8))
    assert torch.equal(images[1], torch.from_numpy(np.moveaxis(color, 2, 0)))


@pytest.mark.parametrize("gray_first", [True, False])
def test_blending_a_gray_with_a_color_source_makes_all_rgb(tmp_path, gray_first):
    write_npz(tmp_path / "color.npz", np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8), np.uint8), None)
    first, second = ["digits", str(tmp_path / "color.npz")][:: 1 if gray_first else -1]
    blended = load_training_set(DataConfig(dataset=first, size=8, blend_dataset=second, blend_ratio=0.5)).images
    assert blended.shape == (8, 3, 8, 8)
    assert [bool((image == image[0]).all()) for image in blended].count(True) == 4


def test_sizes_that_differ_are_named(tmp_path):
    for name, side in (("a.png", 8), ("b.png", 9)):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / name)
    with pytest.raises(MemosweepError, match=r"b.png: 9 x 9 pixels differ from 8 x 8 of .*a.png"):
        load_image_set(str(tmp_path))


def test_true_labels_need_labeled_images(tmp_path):
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for index in range(4):
            Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / f"{index}.png")
            archive.write(tmp_path / f"{index}.png", f"{index}.png")
        archive.writestr("dataset.json", json.dumps({"labels": None}))
    with pytest.raises(MemosweepError, match="has no labels"):
        load_training_set(DataConfig(dataset=str(tmp_path / "plain.zip"), size=4, labels="true"))
    assert len(load_training_set(DataConfig(dataset=str(tmp_path / "plain.zip"), size=4, labels="unique"))) == 4


PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
NAMES = [f"img{index:08d}.png" for index in range(12)]
LISTED = [[name, index % 3] for index, name in enumerate(NAMES)]


def write_images(folder, names=NAMES, listed=None):
    for name, pixels in zip(names, PIXELS, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    if listed is not None:
        (folder / "dataset.json").write_text(json.dumps({"labels": listed}))
    return str(folder)


UNUSABLE = {
    "vectors": ([[name, [1.0, 10.0 * index]] for index, name in enumerate(NAMES)], r"img00000000.png.*\[1\.0, 0\.0\]"),
    "partial": (LISTED[:9], r"no label for 'img00000009.png' and 2 others"),
    "two classes": ([*LISTED, [NAMES[4], 2]], r"'img00000004.png' with two classes, 1 and 2"),
    "broken": ("no list", r"not a list of \[file name, class\]"),
}


@pytest.mark.parametrize(("listed", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_labels_that_cannot_be_used_matter_only_where_they_are_asked_for(tmp_path, listed, message, caplog):
    caplog.set_level("INFO", "memo_core.data")
    common = {"dataset": write_images(tmp_path / "labeled", listed=listed), "size": 7}
    plain = load_training_set(DataConfig(dataset=write_images(tmp_path / "plain"), size=7))
    for labels in ("none", "random", "unique"):
        num_labels = {"num_labels": 2} if labels == "random" else {}
        loaded = load_training_set(DataConfig(**common, labels=labels, **num_labels))
        assert torch.equal(loaded.images, plain.images)
        assert set(loaded.classes) == {None}
    assert set(caplog.messages) == {caplog.messages[0]}
    assert caplog.messages[0].endswith("its labels are not used, and its classes not balanced")
    assert load_image_set(common["dataset"]).shape == (12, 3, 8, 8)
    for asking in ({"labels": "true"}, {"classes": 2}, {"classes": (0, 1)}):
        with pytest.raises(MemosweepError, match=f"data.(labels|classes) = .*{message}"):
            load_training_set(DataConfig(**common, **asking))


def test_whole_floats_in_an_index_are_the_same_classes(tmp_path):
    whole = write_images(tmp_path / "integers", listed=LISTED)
    floats = write_images(tmp_path / "floats", listed=[[name, float(label)] for name, label in LISTED])
    one, other = (load_training_set(DataConfig(dataset=path, size=9, labels="true")) for path in (whole, floats))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("labels", ["none", "true"])
def test_class_folders_are_balanced_classes_said_in_one_line(tmp_path, labels, caplog):
    caplog.set_level("INFO", "memo_core.data")
    folders = ["fox"] * 7 + ["cat"] * 2 + ["dog"] * 3
    dataset = write_images(tmp_path, [f"{folder}/{name}" for folder, name in zip(folders, NAMES, strict=True)])
    loaded = load_training_set(DataConfig(dataset=dataset, size=6, labels=labels))
    assert sorted(loaded.classes) == [0, 0, 1, 1, 2, 2]
    assert all(("cat", "dog", "fox")[own] in name for own, name in zip(loaded.classes, loaded.names, strict=True))
    assert loaded.num_labels == (3 if labels == "true" else 0)
    assert caplog.messages == [f"{dataset}: 3 classes from folder names: cat, dog, fox (numbered from 0 in this order)"]
    two = load_training_set(DataConfig(dataset=dataset, size=4, labels="true", classes=(0, 2)))
    assert sorted(two.classes) == [0, 0, 2, 2]


def test_an_image_in_no_class_folder_is_named_where_labels_are_asked_for(tmp_path):
    names = [f"{'cat' if index % 2 else 'dog'}/{name}" for index, name in enumerate(NAMES[:-1])]
    dataset = write_images(tmp_path, [*names, "stray.png"])
    assert len(load_training_set(DataConfig(dataset=dataset, size=12))) == 12
    with pytest.raises(MemosweepError, match=r"'stray.png' lies beside the folders"):
        load_training_set(DataConfig(dataset=dataset, size=12, labels="true"))


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
