import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from memo_core.commands import main
from memo_core.data import write_edm_zip, write_npz


def random_images(count, channels=1, seed=0, side=8):
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def write_folder(folder, images):
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image[0] if len(image) == 1 else np.moveaxis(image, 0, 2)).save(folder / f"{index}.png")


@pytest.fixture
def sets(tmp_path):
    """Eight training images of which the last two are equal, and ten samples that copy 3 thrice, 0 once, 7 twice."""
    training = random_images(8)
    training[7] = training[6]
    copies = training[[3, 7, 0, 3, 3, 7]]
    copies[3, 0, 0, 0] //= 2
    write_edm_zip(tmp_path / "training.zip", training, None)
    write_npz(tmp_path / "samples.npz", np.concatenate([copies, np.full((4, 1, 8, 8), 9, np.uint8)]), None)
    return ["--training", str(tmp_path / "training.zip"), "--generated", str(tmp_path / "samples.npz")]


def test_the_most_replicated_images_are_named(sets, capsys):
    assert main(["measure", *sets]) == 0
    text = capsys.readouterr().out
    three, zero = text.index("  img00000003.png: 3 replicas, smallest"), text.index("  img00000000.png: 1 replica, sm")
    assert three < zero
    assert "more\n" not in text
    assert main(["measure", *sets, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    named = numbers["most_replicated"]
    assert [(image["image"].split("/")[-1], image["replicas"], image["smallest_distance"]) for image in named] == [
        ("img00000003.png", 3, 0.0),
        ("img00000000.png", 1, 0.0),
    ]
    assert numbers["replicated_images"] == 2


def test_further_replicated_images_are_counted(tmp_path, capsys):
    write_npz(tmp_path / "a.npz", random_images(12), None)
    assert main(["measure", "--training", str(tmp_path / "a.npz"), "--generated", str(tmp_path / "a.npz")]) == 0
    assert "and 7 more" in capsys.readouterr().out


@pytest.mark.parametrize("extra", [[], ["--no-duplicates"]])
def test_exact_duplicates_are_reported_whatever_is_searched(sets, extra, capsys):
    assert main(["measure", *sets, *extra]) == 0
    text = capsys.readouterr().out
    assert "2 training images are exact duplicates of others: their replicas cannot count" in text
    assert ("near copy" in text) == (not extra)
    assert main(["measure", *sets, *extra, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact_duplicates"] == 2


def test_exact_duplicates_are_reported_beyond_the_size_of_the_near_search(sets, capsys, monkeypatch):
    monkeypatch.setattr("memo_core.commands.duplicates.MAX_SIZE_BY_DEFAULT", 5)
    assert main(["measure", *sets]) == 0
    text = capsys.readouterr().out
    assert "2 training images are exact duplicates" in text
    assert "near copy" not in text


def test_samples_of_a_single_color_are_counted(sets, capsys):
    assert main(["measure", *sets]) == 0
    assert "4 samples have a single color" in capsys.readouterr().out


def test_pairs_and_gallery_are_written(sets, tmp_path, capsys):
    pairs, gallery = tmp_path / "new/pairs.csv", tmp_path / "new/pairs.png"
    assert main(["measure", *sets, "--pairs", str(pairs), "--gallery", str(gallery), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader(pairs.open()))
    assert len(rows) == numbers["num_samples"] == 10
    assert sum(row["memorized"] == "true" for row in rows) == numbers["replicas"] == 4
    assert np.mean([float(row["nearest_distance"]) for row in rows]) == pytest.approx(numbers["knn_distance"])
    assert rows[0]["sample"].endswith("samples.npz, image 0")
    assert rows[0]["nearest_image"].endswith("training.zip: 00000/img00000003.png")
    assert rows[1]["distance_ratio"] == ""
    with Image.open(gallery) as picture:
        assert picture.format == "PNG"
    assert main(["measure", *sets, "--pairs", str(pairs), "--gallery", str(gallery)]) == 0
    assert f"pairs in {pairs}\ngallery in {gallery}\n" in capsys.readouterr().out


def test_file_names_that_are_not_text_are_escaped(tmp_path, capsys):
    write_folder(tmp_path / "set", random_images(3))
    try:
        (tmp_path / "set/0.png").rename(tmp_path / "set" / "\udcff.png")
    except OSError:
        pytest.skip("file names are text here")
    sets = ["--training", str(tmp_path / "set"), "--generated", str(tmp_path / "set")]
    files = ["--pairs", str(tmp_path / "p.csv"), "--gallery", str(tmp_path / "g.png")]
    assert main(["measure", *sets, *files]) == 0
    assert "\\udcff.png: 1 replica" in capsys.readouterr().out
    assert "\\udcff.png" in (tmp_path / "p.csv").read_text()


def test_gray_beside_color_is_compared_as_color(tmp_path, capsys):
    gray = random_images(6)
    write_folder(tmp_path / "gray", gray)
    write_folder(tmp_path / "color", np.repeat(gray, 3, axis=1))
    for one, other in (("gray", "color"), ("color", "gray")):
        sets = ["--training", str(tmp_path / one), "--generated", str(tmp_path / other)]
        assert main(["measure", *sets, "--json", "--gallery", str(tmp_path / "g.png")]) == 0
        numbers = json.loads(capsys.readouterr().out)
        assert (numbers["memorization_ratio"], numbers["knn_distance"]) == (1, 0)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Sets and places by name, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, content in (("set", random_images(3)), ("one", random_images(1)), ("large", random_images(2, side=9))):
        write_npz(tmp_path / f"{name}.npz", content, None)
    write_folder(tmp_path / "images", random_images(3))
    for name in ("folder.csv", "folder.png"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--training one.npz --generated set.npz", "--training one.npz: holds 1 image; at least 2 are needed"),
        ("--training set.npz --generated large.npz", "--generated large.npz: images of 9 x 9 pixels, and 8 x 8"),
        ("--training set.npz --generated one.npz --fid", "holds 1 image, and --fid needs at least 2"),
        ("--training /nowhere --generated set.npz --pairs folder.csv", "--pairs folder.csv: is a folder, name a file"),
        ("--training /nowhere --generated set.npz --gallery folder.png", "--gallery folder.png: is a folder"),
        ("--training /nowhere --generated set.npz --pairs file/a.csv", "--pairs file/a.csv: cannot be written"),
        ("--training /nowhere --generated set.npz --gallery file/a.png", "--gallery file/a.png: cannot be written"),
        ("--training /nowhere --generated set.npz --pairs a.txt", "--pairs a.txt: expected a file ending in .csv"),
        ("--training /nowhere --generated set.npz --gallery a.jpg", "--gallery a.jpg: expected a file ending in .png"),
        ("--training images --generated set.npz --gallery images/a.png", "is inside the image folder of --training"),
        ("--training set.npz --generated images --gallery images/a.png", "is inside the image folder of --generated"),
        ("--training set.npz --generated ~nosuchuser/x --gallery a.png", "cannot be read"),
        ("--training set.npz --generated set.npz --threshold 0.0001", "0.001 to 0.999"),
        ("--training set.npz --generated set.npz --threshold nan", "between 0 and 1"),
    ],
)
def test_what_cannot_be_measured_or_written_is_one_line(places, arguments, message, capsys):
    before = sorted(places.rglob("*"))
    assert main(["measure", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(places.rglob("*")) == before


def test_one_sample_is_enough(places, capsys):
    arguments = ["--training", "set.npz", "--generated", "one.npz", "--pairs", "p.csv", "--gallery", "g.png"]
    assert main(["measure", *arguments]) == 0
    assert "of 1 sample " in capsys.readouterr().out
    assert len((places / "p.csv").read_text().splitlines()) == 2


def test_faiss_gives_the_same_numbers_and_is_missed_before_anything_is_read(sets, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert main(["measure", *sets, "--neighbors", "faiss"]) == 2
    assert "pip install" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "faiss")
    pytest.importorskip("faiss")
    outputs = []
    for name in ("exact", "faiss"):
        assert main(["measure", *sets, "--json", "--neighbors", name]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


@pytest.fixture
def prompted(tmp_path):
    """Ten training images; of the prompt `a cat` 3 samples of 4 copy images 2, 2 and 5, of `a dog` 1 of 4 copies 5."""
    training, noise = random_images(10), random_images(8, seed=1)
    samples = noise.copy()
    samples[[0, 2, 4, 3]] = training[[2, 2, 5, 5]]
    write_edm_zip(tmp_path / "training.zip", training, None)
    write_npz(tmp_path / "samples.npz", samples, np.arange(8) % 2, ("a cat", "a dog"))
    return ["--training", str(tmp_path / "training.zip"), "--generated", str(tmp_path / "samples.npz")]


def test_samples_with_prompts_are_reported_by_prompt(prompted, tmp_path, capsys):
    files = ["--pairs", str(tmp_path / "p.csv"), "--gallery", str(tmp_path / "g.png")]
    assert main(["measure", *prompted, *files]) == 0
    text = capsys.readouterr().out
    table = text[text.index("by prompt") :].splitlines()
    assert [line.split()[:4] for line in table[2:4]] == [["a", "cat", "4", "0.7500"], ["a", "dog", "4", "0.2500"]]
    assert table[2].endswith("img00000002.png (2), img00000005.png (1)")
    assert main(["measure", *prompted, "--json"]) == 0
    cat, dog = json.loads(capsys.readouterr().out)["prompts"]
    assert (cat["prompt"], cat["replicas"], cat["memorization_ratio"]) == ("a cat", 3, 0.75)
    # Wilson's interval of 1 of 4, by its formula.
    z = 1.959964
    center, reach = (1 + z**2 / 2) / (4 + z**2), z * np.sqrt(4 * 0.25 * 0.75 + z**2 / 4) / (4 + z**2)
    assert (dog["memorization_ratio_low"], dog["memorization_ratio_high"]) == pytest.approx(
        (center - reach, center + reach), abs=1e-6
    )
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [row["prompt"] for row in rows] == ["a cat", "a dog"] * 4
    # A section for each prompt makes the picture higher than the pairs alone.
    with Image.open(tmp_path / "g.png") as picture:
        height = picture.height
    with np.load(tmp_path / "samples.npz") as stored:
        write_npz(tmp_path / "samples.npz", stored["images"], None)
    assert main(["measure", *prompted, *files]) == 0
    assert "by prompt" not in capsys.readouterr().out
    with Image.open(tmp_path / "g.png") as picture:
        assert picture.height < height
    assert "prompt" not in next(csv.reader((tmp_path / "p.csv").open()))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"prompts": np.array(["a cat"])}, "has `prompts` without `labels` that say which"),
        ({"prompts": np.array(["a cat"]), "labels": np.arange(8)}, "the label 7 is none of its 1 prompts"),
        ({"prompts": np.arange(2), "labels": np.zeros(8, int)}, "`prompts` must be a list of texts"),
    ],
)
def test_prompts_that_do_not_fit_the_images_are_refused(prompted, arrays, message, tmp_path, capsys):
    np.savez(tmp_path / "samples.npz", images=random_images(8), **arrays)
    assert main(["measure", *prompted]) == 2
    assert message in capsys.readouterr().err
