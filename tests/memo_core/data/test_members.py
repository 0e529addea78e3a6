import os

import pytest

from memo_core.data.members import common_folder, find_members, list_files
from memo_core.errors import MemosweepError

FOREIGN = [
    "__MACOSX/00000/._a.png",
    "__MACOSX/a.png",
    "._a.png",
    "set/._a.png",
    ".a.png",
    ".ipynb_checkpoints/a-checkpoint.png",
    "set/.ipynb_checkpoints/a-checkpoint.png",
    ".git/deep/below/a.png",
    "Thumbs.db",
    "set/THUMBS.DB",
    "desktop.ini",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "$RECYCLE.BIN/a.png",
    ".DS_Store",
    "set\\.hidden\\a.png",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_hidden_and_foreign_files_are_no_data(name):
    members = find_members([name, "b.png"])
    assert members.images == ("b.png",)
    assert (members.num_passed_over, members.index) == (1, None)


@pytest.mark.parametrize(
    "name",
    [
        "a.PNG",
        "a.JPEG",
        "a.Jpg",
        "a.jfif",
        "a.webp",
        "a.bmp",
        "a.gif",
        "a.TIFF",
        "x/a.b.png",
        "./a.png",
        "../a.png",
        "/a.png",
    ],
)
def test_images_are_known_by_their_endings_in_any_case(name):
    assert find_members([name]).images == (name,)


def test_what_is_passed_over_is_counted_by_kind():
    hidden = [f"__MACOSX/._{index}.png" for index in range(12)]
    members = find_members(["a.png", *hidden, "a.txt", "b.TXT", "README", "a.tar.gz", "x/.b", "x/.c", "x/.d", "a.png"])
    assert members.num_passed_over == 20
    assert members.passed_over.startswith("__MACOSX (12), *.txt (2), ")
    assert members.passed_over.endswith(" and 3 other kinds")
    assert find_members(["a.png", "dataset.json"]).passed_over == ""
    assert "\n" not in find_members(["a.png", ".b\nc"]).passed_over


def test_a_name_that_a_zip_lists_twice_is_one_image():
    members = find_members(["a.png", "b.png", "a.png"])
    assert members.images == ("a.png", "b.png")
    assert members.passed_over == "repeated names (1)"


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (["00000/a.png", "dataset.json"], "dataset.json"),
        (["top/00000/a.png", "top/00001/b.png", "top/dataset.json"], "top/dataset.json"),
        (["top/a.png", "top/dataset.json", "README.txt"], "top/dataset.json"),
        (["a/b/c/d.png", "a/b/dataset.json", "a/b/c/dataset.json"], "a/b/dataset.json"),
        (["top\\a.png", "top\\dataset.json"], "top\\dataset.json"),
        (["./top/a.png", "./top/dataset.json"], "./top/dataset.json"),
        (["one/a.png", "two/b.png", "two/dataset.json"], None),
        (["top/a.png", "topmost/dataset.json"], None),
        (["top/a.png", "__MACOSX/dataset.json"], None),
    ],
)
def test_the_index_lies_in_a_folder_that_holds_all_images(names, index):
    members = find_members(names)
    assert members.index == index
    others = sum(name.endswith(".json") for name in names) - (index is not None)
    assert members.num_passed_over == others + names.count("README.txt")


def test_common_folders():
    assert common_folder(["a/b/c.png", "a/b/d/e.png"]) == "a/b"
    assert common_folder(["ab/c.png", "a/d.png"]) == ""
    assert common_folder(["c.png", "a/d.png"]) == ""
    assert find_members(["/top/a.png", "top/b.png", "top/dataset.json"]).index == "top/dataset.json"


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "set/cat").mkdir(parents=True)
    (tmp_path / "dog").mkdir()
    for name in ("set/cat/a.png", "dog/b.png"):
        (tmp_path / name).touch()
    (tmp_path / "set/dog").symlink_to(tmp_path / "dog")
    (tmp_path / "set/cat/again").symlink_to(tmp_path / "set")
    (tmp_path / "set/gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "set/pipe.png")
    assert sorted(list_files(tmp_path / "set")) == ["cat/a.png", "dog/b.png", "gone.png"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", forbidden)
    with pytest.raises(MemosweepError, match=f"{tmp_path}: cannot be read .Permission denied"):
        list_files(tmp_path)
