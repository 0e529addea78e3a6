import json

import numpy as np
import pytest
from PIL import Image

from memo_core.commands import main
from memo_core.data import load_training_set, open_source, write_npz
from memo_core.data.training_set import load_image_set
from memo_core.experiment import DataConfig

LABELED = ["--set", "data.size=12", "--set", "data.classes=3,5", "--set", "data.labels=true"]


def test_data_describes_and_lists_the_training_set(capsys):
    assert main(["data", *LABELED]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["12 images of 8 x 8 pixels, 1 channel", "classes: 3: 6, 5: 6", "labels: 2 different"]
    assert main(["data", *LABELED, "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = load_training_set(DataConfig(size=12, classes=(3, 5), labels="true"))
    assert [image["index"] for image in listed] == list(range(12))
    assert [image["origin"] for image in listed] == list(expected.names)
    assert [image["class"] for image in listed] == list(expected.classes)
    assert [image["label"] for image in listed] == expected.labels.tolist()
    assert main(["data", "--set", "data.size=3"]) == 0
    assert "labels: none" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["npz", "zip"])
@pytest.mark.parametrize("labels", ["true", "none"])
def test_data_writes_what_it_reads_again(tmp_path, capsys, kind, labels):
    file = tmp_path / "new folder" / f"set.{kind}"
    assert main(["data", *LABELED, "--set", f"data.labels={labels}", "--out", str(file)]) == 0
    capsys.readouterr()
    written = load_training_set(DataConfig(size=12, classes=(3, 5), labels=labels))
    source = open_source(str(file))
    np.testing.assert_array_equal(np.stack([source.read(index) for index in range(12)]), written.images.numpy())
    assert (source.labels is None) == (labels == "none")
    if source.labels is not None:
        assert source.labels.tolist() == written.labels.tolist()
    first = file.read_bytes()
    assert main(["data", *LABELED, "--set", f"data.labels={labels}", "--out", str(file)]) == 0
    assert file.read_bytes() == first


def test_data_says_which_images_have_duplicates(tmp_path, capsys):
    images = load_image_set("digits")[[0, 1, 2, 3, 4, 5, 6, 7, 8, 2]].numpy()
    write_npz(tmp_path / "set.npz", images, None)
    arguments = ["data", "--set", f"data.dataset={tmp_path}/set.npz", "--set", "data.size=10"]
    assert main(arguments) == 0
    assert "duplicates: 2 images have a near copy among the others, 2 an exact one" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(line["near_duplicate"] for line in lines) == sum(line["exact_duplicate"] for line in lines) == 2
    assert main([*arguments, "--json", "--no-duplicates"]) == 0
    assert "duplicate" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ([], "1,797 images of 8 x 8 pixels"),
        (["data.size=30"], "30 images of"),
        (["data.classes=8,3"], "348 images of"),  # the digits have 174 eights and 183 threes
    ],
)
def test_duplicates_are_looked_for_in_the_whole_set_unless_a_size_is_asked_for(settings, line, capsys):
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert main(["data", "--duplicates", *arguments]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(line)
    assert "duplicates: " in printed


def test_a_blend_has_no_whole(capsys):
    blend = ["--set", "data.blend_dataset=cifar10", "--set", "data.blend_ratio=0.5"]
    assert main(["data", "--duplicates", *blend]) == 2
    assert capsys.readouterr().err == ("error: --duplicates of a blend: say how many images, by --set data.size=N\n")


def test_what_is_passed_over_and_where_classes_come_from_are_notes_said_once(tmp_path, capsys):
    for index in range(4):
        folder = tmp_path / ("dog", "cat")[index % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 60 * index, np.uint8)).save(folder / f"{index}.png")
    (tmp_path / "Thumbs.db").touch()
    (tmp_path / "notes.txt").touch()
    arguments = ["--set", f"data.dataset={tmp_path}", "--set", "data.size=4", "--set", "data.labels=true"]
    for _ in range(2):
        assert main(["data", *arguments, "--json", "--no-duplicates"]) == 0
        printed = capsys.readouterr()
        assert [json.loads(line)["class"] for line in printed.out.splitlines()].count(1) == 2
        assert printed.err.splitlines() == [
            f"note: {tmp_path}: 2 files are passed over: *.txt (1), Thumbs.db (1)",
            f"note: {tmp_path}: 2 classes from folder names: cat, dog (numbered from 0 in this order)",
        ]
    assert main(["measure", "--training", str(tmp_path), "--generated", str(tmp_path), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["num_samples"] == 4
    assert printed.err == f"note: {tmp_path}: 2 files are passed over: *.txt (1), Thumbs.db (1)\n"


def test_data_without_classes_says_so(tmp_path, capsys):
    write_npz(tmp_path / "set.npz", np.arange(4 * 64, dtype=np.uint8).reshape(4, 1, 8, 8), None)
    assert main(["data", "--set", f"data.dataset={tmp_path}/set.npz", "--set", "data.size=4"]) == 0
    assert "classes: none\n" in capsys.readouterr().out
