"""Names of trials and their folders."""

import pytest

from sweeps.engine.plans.names import experiment_id, identity_of, short_name, trial_directory


def directory(value):
    return trial_directory({"data.dataset": value}, ["data.dataset"])


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        ("digits", "dataset=digits"),
        ("/data/good.zip", "dataset=_data_good.zip"),
        ("/data/[a] é*?#%\n.zip", "dataset=_data_a_,_.zip"),
        ("..", "dataset=.."),
    ],
)
def test_a_folder_is_named_by_what_any_file_system_takes(value, folder):
    identity = experiment_id({"data.dataset": value})
    assert directory(value) == f"{folder}_{identity}"
    assert identity_of(directory(value)) == identity
    assert set(directory(value)).isdisjoint('/\\[]*?#%:"<>|\n\0')


@pytest.mark.parametrize("value", ["x" * 5000, "é" * 5000, "/".join(["deep"] * 500)])
def test_a_long_value_still_makes_a_folder(value, tmp_path):
    (tmp_path / directory(value)).mkdir()


@pytest.mark.parametrize(
    ("one", "other"),
    [([1, 2, 2], [12, 2]), (0.12345678, 0.12345679), ("/a/x.zip", "/b/x.zip"), ([1, 0], [0, 1]), (1e-2, 1e-3)],
)
def test_different_values_have_different_names(one, other):
    assert short_name({"model.key": one}, ["model.key"]) != short_name({"model.key": other}, ["model.key"])


def test_masks_and_round_numbers_stay_short():
    assert short_name({"a.mask": [1, 0, 1], "a.rate": 1e-2}, ["a.mask", "a.rate"]) == "mask=101 rate=0.01"


def test_an_identity_depends_on_the_settings_and_on_nothing_else():
    one = experiment_id({"a": 1, "b": [1, 2]})
    assert experiment_id({"b": (1, 2), "a": 1}) == one
    assert experiment_id({"a": 2, "b": [1, 2]}) != one
    assert (len(one), set(one) <= set("0123456789abcdef")) == (12, True)
