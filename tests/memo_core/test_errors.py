from pathlib import Path

import pytest

from memo_core.errors import did_you_mean, did_you_mean_path, plural, reason_of


def test_the_nearest_name_is_offered_and_a_strange_one_gets_none() -> None:
    assert did_you_mean("repot", ["report", "table"]) == "did you mean report?"
    assert did_you_mean("xyz", ["report", "table"]) is None
    assert did_you_mean("", []) is None


def test_a_misspelled_folder_is_found_with_what_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "results/width").mkdir(parents=True)
    (tmp_path / "results/width/table.csv").touch()
    meant = f"did you mean {tmp_path / 'results/width/table.csv'}?"
    assert did_you_mean_path(tmp_path / "resluts/width/table.csv") == meant
    assert did_you_mean_path(tmp_path / "results/width/tabel.csv") == meant
    assert did_you_mean_path(tmp_path / "results/width/table.csv") is None
    assert did_you_mean_path(tmp_path / "elsewhere") is None


def test_only_a_missing_file_has_a_hint(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").touch()
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "modle.pkl").read_bytes()
    assert reason_of(caught.value, tmp_path / "modle.pkl") == (
        f"No such file or directory, did you mean {tmp_path / 'model.pkl'}?"
    )
    assert reason_of(PermissionError(13, "Permission denied"), tmp_path / "modle.pkl") == "Permission denied"


@pytest.mark.parametrize(("count", "text"), [(0, "0 images"), (1, "1 image"), (2345, "2,345 images")])
def test_nouns_follow_their_count(count: int, text: str) -> None:
    assert plural(count, "image") == text
