import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, with_settings
from sweeps.engine.plans.names import experiment_id
from sweeps.engine.plans.ranges import Choices, Range
from sweeps.engine.search.optuna import IDENTITY, OptunaExperimentSearch
from sweeps.engine.search.study_file import StudyFile

SPACE = {
    "model.width": Range(low=8, high=32, integer=True),
    "training.ema_decay": Range(low=0.9, high=0.999, log=True, complement=True),
    "model.channel_multipliers": Choices(choices=[[1, 1], [2, 2]]),
    "data.resolution": Choices(choices=[None, 4]),
}


def search():
    def complete(values):
        return Experiment.from_flat(with_settings(LAPTOP, values))

    return OptunaExperimentSearch(SPACE, complete, "max", num_trials=6)


def stored(file):
    """The study as optuna-dashboard reads it."""
    return optuna.load_study(study_name="run", storage=JournalStorage(JournalFileBackend(str(file))))


def test_the_file_shows_what_the_settings_are(tmp_path):
    searcher = search()
    view = StudyFile(tmp_path / "study", "run", searcher)
    trials = [searcher.suggest(str(number)) for number in range(4)]
    assert view.update()
    searcher.complete("0", {"best_memorization_ratio": 0.25})
    searcher.complete("1", None)
    assert view.update()
    assert not view.update()
    study = stored(tmp_path / "study")
    assert study.direction.name == "MAXIMIZE"
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "RUNNING", "RUNNING"]
    assert study.best_value == 0.25
    for shown, trial in zip(study.trials, trials, strict=True):
        assert shown.user_attrs == {IDENTITY: experiment_id(trial)}
        assert shown.params == {
            "model.width": trial["model.width"],
            "training.ema_decay": trial["training.ema_decay"],
            "model.channel_multipliers": str(trial["model.channel_multipliers"]),
            "data.resolution": trial["data.resolution"],
        }


def test_a_file_of_an_earlier_start_is_made_anew(tmp_path):
    for _ in range(2):
        searcher = search()
        view = StudyFile(tmp_path / "study", "run", searcher)
        searcher.suggest("0")
        searcher.complete("0", {"best_memorization_ratio": 0.5})
        view.update()
    assert [trial.value for trial in stored(tmp_path / "study").trials] == [0.5]
