"""Names of trials and their folders."""

import re

import pytest

from memo_core.results import experiment_id
from sweeps.engine.plans.names import identity_of, short_name, trial_directory, without_budget


def directory(value):
    return trial_directory({"data.dataset": value, "seed": 3}, ["data.dataset"])


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
    identity = experiment_id({"seed": 3, "data.dataset": value})
    assert directory(value) == f"{folder}_{identity}"
    assert identity_of(directory(value)) == identity
    assert re.fullmatch("[0-9a-f]{12}", identity)
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


def test_an_identity_is_that_of_all_settings_and_a_budget_is_none_of_a_training():
    one = {"seed": 0, "training.images": 100, "evaluation.count": 2}
    longer = {"evaluation.count": 3, "training.images": 200, "seed": 0}
    assert experiment_id(one) == experiment_id(dict(reversed(one.items())))
    assert experiment_id(one) != experiment_id(longer)
    assert without_budget(one) == without_budget(longer) != without_budget({**one, "seed": 1})
