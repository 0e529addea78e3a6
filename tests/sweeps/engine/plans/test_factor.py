"""What factors are made of: studies, presets, and paths that mean the same in a trial's folder."""

import json
import os

import pytest

from memo_core.errors import MemosweepError
from memo_core.experiment.presets import LAPTOP_LONG, LAPTOP_TEXT, PAPER_EDM
from sweeps.engine.cluster.session import fix_data_root
from sweeps.engine.plans.factor import Factor, Selection, Study, absolute_paths, absolute_value, trials_of
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions
from sweeps.engine.plans.ranges import split_ranges
from sweeps.text_conditioning import FACTOR as TEXT
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


def test_the_presets_of_a_family_replace_the_basic_experiment_of_its_studies():
    assert [study.preset for study in WEIGHT_DECAY.studies("laptop-long")] == [LAPTOP_LONG]
    assert WEIGHT_DECAY.studies("laptop-long")[0].values == WEIGHT_DECAY.studies("laptop")[0].values
    assert WEIGHT_DECAY.studies("paper-edm")[0].preset == PAPER_EDM


def test_a_preset_of_another_kind_of_model_is_refused():
    with pytest.raises(MemosweepError, match="weight_decay trains networks from noise, give laptop"):
        WEIGHT_DECAY.studies("laptop-text")
    with pytest.raises(MemosweepError, match="text_conditioning fine-tunes pipelines, give paper"):
        TEXT.studies("paper-edm")


def test_captions_are_for_the_trials_that_read_them():
    study = Study("own", LAPTOP_TEXT, values=("plain", "captions"), sizes=(4,))
    factor = Factor("prompts", "text.prompt", paper=(study,), laptop=(study,))
    selection = Selection("laptop", settings={"text.captions": "captions.csv"})
    trials = trials_of(factor, selection)
    assert [(trial.text.prompt, trial.text.captions) for trial in trials] == [
        ("plain", None),
        ("captions", "captions.csv"),
    ]
    with pytest.raises(MemosweepError, match=r"text.captions = captions.csv: text.prompt = plain does not read it"):
        trials_of(TEXT, selection)
