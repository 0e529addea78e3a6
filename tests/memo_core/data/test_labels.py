import numpy as np
import pytest

from memo_core.data.labels import describe_folders, labels_of_array, labels_of_folders, labels_of_index
from memo_core.errors import MemosweepError

NAMES = ("a.png", "b.png")


def listed(*classes):
    return {"labels": [[name, label] for name, label in zip(NAMES, classes, strict=False)]}


@pytest.mark.parametrize("classes", [(3, 0), (3.0, 0.0), (3, 0.0)])
def test_whole_numbers_are_classes(classes):
    labels = labels_of_index(listed(*classes), "", NAMES)
    assert (labels.tolist(), labels.dtype) == ([3, 0], np.int64)


def test_an_index_may_have_no_labels():
    assert labels_of_index({"labels": None}, "", NAMES) is None


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([["a.png", 0]], "is a list"),
        (None, "is a NoneType"),
        ({"labels": 5}, "not a list of"),
        ({"labels": {"ab": 1}}, "not a list of"),
        ({"labels": [[5, 1]]}, "not a list of"),
        ({"labels": ["ab"]}, "not a list of"),
        (listed([1.0, 20.0], 1), r"'a.png' has the label \[1.0, 20.0\], expected an integer from 0"),
        (listed(0, None), "'b.png' has the label None"),
        (listed(0, True), "'b.png' has the label True"),
        (listed(0, "1"), "'b.png' has the label '1'"),
        (listed(-1, 0), "'a.png' has the label -1"),
        (listed(0.5, 0), "'a.png' has the label 0.5"),
        (listed(0, float("nan")), "'b.png' has the label nan"),
        (listed(0, float("inf")), "'b.png' has the label inf"),
        (listed(2**63, 0), "'a.png' has the label 9223372036854775808"),
        (listed(10**5000, 0), "'a.png' has the label a number of thousands of digits"),
        (listed(0), "has no label for 'b.png'$"),
        ({"labels": []}, "has no label for 'a.png' and 1 others"),
        ({"labels": [*listed(0, 1)["labels"], ["a.png", 2]]}, "lists 'a.png' with two classes, 0 and 2"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_an_index_that_cannot_serve_is_refused_by_name(index, message):
    with pytest.raises(MemosweepError, match=message) as caught:
        labels_of_index(index, "", NAMES)
    assert len(str(caught.value)) < 250


def test_the_index_lists_names_from_its_own_folder_or_from_the_top():
    names = ("top/00000/a.png", "top\\00000\\b.png")
    for folder in ("", "top/", "./top/"):
        index = {"labels": [[f"{folder}00000/b.png", 1], [f"{folder}00000\\a.png", 0], ["other.png", "no class"]]}
        if folder:
            assert labels_of_index(index, "", names).tolist() == [0, 1]
        assert labels_of_index(index, "top", names).tolist() == [0, 1]


def test_an_index_that_was_put_above_the_only_folder_serves():
    names = ("inner/set/00000/a.png", "inner/set/00000/b.png")
    for folder in ("set/00000/", "00000/", ""):
        index = {"labels": [[f"{folder}b.png", 1], [f"{folder}a.png", 0]]}
        assert labels_of_index(index, "", names).tolist() == [0, 1]


def test_accents_are_equal_however_they_are_written():
    assert labels_of_index({"labels": [["caf\u00e9.png", 4]]}, "", ["cafe\u0301.png"]).tolist() == [4]


def test_an_image_may_be_listed_twice_with_one_class():
    index = {"labels": [*listed(0, 1)["labels"], ["./b.png", 1.0]]}
    assert labels_of_index(index, "", NAMES).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64, np.float32])
def test_arrays_of_whole_numbers_are_classes(dtype):
    for values in (np.array([2, 0, 1], dtype), np.array([[2], [0], [1]], dtype)):
        labels = labels_of_array(values, 3)
        assert (labels.tolist(), labels.dtype) == ([2, 0, 1], np.int64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(2), r"labels of float64 \(2,\), expected 3 integers from 0"),
        (np.zeros((3, 10)), r"\(3, 10\), expected 3 integers"),
        (np.array(["a", "b", "c"]), "labels of <U1"),
        (np.array([0, 1, -1]), "image 2 has the label -1"),
        (np.array([0, 0.5, 1]), "image 1 has the label 0.5"),
        (np.array([0, 1, 2**63], np.uint64), "image 2 has the label 9223372036854775808"),
    ],
)
def test_other_arrays_are_refused(values, message):
    with pytest.raises(MemosweepError, match=message):
        labels_of_array(values, 3)


@pytest.mark.parametrize("top", ["", "animals/", "a/b/"])
def test_sorted_folders_are_classes(top):
    names = [f"{top}{name}" for name in ("fox/1.png", "cat/2.png", "dog/deep/er/3.png", "cat/4.png")]
    labels, folders = labels_of_folders(names)
    assert folders == ("cat", "dog", "fox")
    assert labels.tolist() == [2, 0, 1, 0]


def test_folders_sort_as_text_and_the_line_says_so():
    names = [f"{folder}/a.png" for folder in range(12)]
    _, folders = labels_of_folders(names)
    assert folders == tuple(sorted(map(str, range(12))))
    assert describe_folders(folders) == (
        "12 classes from folder names: 0, 1, 10, 11, 2, 3, 4, 5, 6, 7, ... (numbered from 0 in this order)"
    )


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png"],
        ["cat/a.png", "cat/b.png"],
        ["00000/img00000000.png", "00001/img00001000.png"],
        ["top/000000/000012.png", "top/003000/003999.png"],
        ["00000/00012.png", "69000/69999.png"],
        ["00000/00012.png", "00069/69999.png"],
        ["23/0023.png", "23/9023.jpg", "99/5399.png"],
        ["00/0077.png", "01/0177.png"],
    ],
)
def test_a_single_folder_or_parts_of_a_numbered_list_are_no_classes(names):
    assert labels_of_folders(names) is None


@pytest.mark.parametrize(
    "names",
    [
        ["0/000123.png", "1/000456.png"],
        ["00001/img00000001.png", "00002/img00002000.png"],
        ["3/13.png", "3/23.png", "4/14.png"],  # numbered in turns
        ["03/00.png", "03/01.png", "04/00.png"],
        ["03/03.png", "04/04.png"],
        ["0/0.png", "0/999.png", "1/1000.png"],  # sorted by class
    ],
)
def test_numbered_classes_are_classes(names):
    labels, folders = labels_of_folders(names)
    assert [folders[label] for label in labels] == [name.split("/")[0] for name in names]


def test_an_image_beside_the_class_folders_is_named():
    with pytest.raises(MemosweepError, match=r"'animals/stray.png' lies beside the folders of the classes"):
        labels_of_folders(["animals/cat/a.png", "animals/dog/b.png", "animals/stray.png"])
