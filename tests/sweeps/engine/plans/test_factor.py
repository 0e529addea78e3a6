"""What is typed in the driver's folder means the same in a trial's."""

import json
import os

import pytest

from sweeps.engine.cluster.session import fix_data_root
from sweeps.engine.plans.factor import Selection, absolute_paths, absolute_value
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions
from sweeps.engine.plans.ranges import split_ranges
from sweeps.weight_decay import FACTOR as WEIGHT_DECAY


@pytest.mark.parametrize("key", ["data.dataset", "data.blend_dataset"])
def test_paths_to_images_become_absolute_and_known_names_stay(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert absolute_value(key, "good.zip") == str(tmp_path / "good.zip")
    assert absolute_value(key, "./a/../good.zip") == str(tmp_path / "good.zip")
    assert absolute_value(key, "~/good.zip") == "/home/somebody/good.zip"
    assert absolute_value(key, "/data/a b#%20.zip") == "/data/a b#%20.zip"
    for name in ("digits", "cifar10", "", " ", None):
        assert absolute_value(key, name) == name


def test_other_settings_stay():
    assert absolute_paths({"data.labels": "true", "data.size": 6}) == {"data.labels": "true", "data.size": 6}


def test_choices_of_a_search_become_absolute_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, ranges = split_ranges(["data.dataset=choice(a.zip,b.zip,digits)"])
    plan = optuna_plan(WEIGHT_DECAY, Selection("laptop"), ranges, OptunaOptions())
    paths = [str(tmp_path / "a.zip"), str(tmp_path / "b.zip"), "digits"]
    assert plan.search.space["data.dataset"].choices == paths
    assert {probe.data.dataset for probe in plan.probes} == set(paths)


def test_a_dry_run_shows_the_path_that_a_trial_would_read(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMOSWEEP_DATA", "downloads")
    arguments = ["--preset", "laptop", "--values", "0", "--sizes", "6", "--dry-run"]
    blend = ["--set", "data.blend_dataset=more", "--set", "data.blend_ratio=0.5"]
    code, output, _ = script("weight_decay", *arguments, "--set", "data.dataset=good.zip", *blend)
    assert code == 0
    config = json.loads(output)["config"]
    assert config["data.dataset"] == str(tmp_path / "good.zip")
    assert config["data.blend_dataset"] == str(tmp_path / "more")
    assert os.environ["MEMOSWEEP_DATA"] == str(tmp_path / "downloads")


def test_an_absent_data_root_stays_absent(monkeypatch):
    monkeypatch.delenv("MEMOSWEEP_DATA", raising=False)
    fix_data_root()
    assert "MEMOSWEEP_DATA" not in os.environ
