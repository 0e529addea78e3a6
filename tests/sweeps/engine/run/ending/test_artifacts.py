"""What a sweep says at its end."""

from typing import Literal

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.runs.runs import Runs
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP
from sweeps.engine.plans.manifest import Limits, describe_run
from sweeps.engine.plans.plan import FactorDescription, GridOptions, OptunaOptions, Plan
from sweeps.engine.plans.ranges import Choices
from sweeps.engine.run.ending.artifacts import findings, write_artifacts
from tests.fakes import SIZES, grid, write_sweep

SEARCHED = OptunaOptions(space={"model.depth": Choices(choices=[1, 2])}, figure="3b", num_trials=3)


def frame(key: str, rows: list[tuple[object, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "experiment": "run",
                "trial_id": str(index),
                "status": "terminated",
                "epoch": 1.0,
                "seed": 0,
                "data.size": size,
                key: value,
                "memorization_ratio": ratio,
                "memorization_ratio_low": ratio,
                "memorization_ratio_high": ratio,
                "num_samples": 100,
            }
            for index, (value, size, ratio) in enumerate(rows)
        ]
    )


def plan(key: str, search: Literal["grid", "optuna"] = "grid") -> Plan:
    return Plan(
        factor=FactorDescription(name="width", key=key),
        preset="laptop",
        varied=(key,),
        trials=(Experiment.from_flat(LAPTOP),),
        search=SEARCHED if search == "optuna" else GridOptions(),
    )


def test_a_line_per_size_with_the_ratio_of_each_value() -> None:
    runs = frame("model.width", [(8, 10, 0.5), (16, 10, 0.9), (8, 20, 0.25)])
    assert findings(Runs.of(runs), plan("model.width")) == [
        "|D| = 10  memorization ratio by width  8: 50.0%  16: 90.0%",
        "|D| = 20  memorization ratio by width  8: 25.0%",
    ]


def test_one_line_where_the_size_itself_is_studied() -> None:
    runs = frame("data.size", [(8, 8, 0.9), (1000, 1000, 0.1)])
    assert findings(Runs.of(runs), plan("data.size")) == ["memorization ratio by |D|  8: 90.0%  1k: 10.0%"]


def test_trials_that_differ_in_more_than_the_factor_are_not_averaged() -> None:
    key = "model.time_embedding"
    runs = frame(key, [("positional", 10, 0.5), ("fourier", 10, 0.25), ("positional", 10, 0.9), ("fourier", 10, 0.8)])
    assert findings(Runs.of(runs.assign(**{"model.depth": [1, 1, 2, 2]})), plan(key)) == [
        "Depth = 1  |D| = 10  memorization ratio by time embedding  fourier: 25.0%  positional: 50.0%",
        "Depth = 2  |D| = 10  memorization ratio by time embedding  fourier: 80.0%  positional: 90.0%",
    ]


@pytest.mark.parametrize(("direction", "answer"), [("max", "highest"), ("min", "lowest")])
def test_a_search_over_ranges_names_the_trial_that_it_looked_for(direction: str, answer: str) -> None:
    rows: list[tuple[object, int, float]] = [(1, 5, 0.906), (2, 5, 0.031), (2, 5, 0.969)]
    runs = frame("model.depth", rows).assign(**{"training.learning_rate": [1e-2, 2e-2, 1.3e-2]})
    about = plan("model.depth", "optuna").model_copy(
        update={
            "varied": ("model.depth", "training.learning_rate"),
            "search": SEARCHED.model_copy(update={"direction": direction}),
        }
    )
    (line,) = findings(Runs.of(runs), about)
    best = {"max": "96.9% (95%: 96.9 to 96.9%) at model.depth = 2, training.learning_rate = 0.013"}
    worst = {"min": "3.1% (95%: 3.1 to 3.1%) at model.depth = 2, training.learning_rate = 0.02"}
    assert line == f"{answer} memorization ratio of 3 trials: {(best | worst)[direction]}"


@pytest.mark.parametrize("search", ["grid", "optuna"])
def test_without_any_ratio_it_says_so(search: Literal["grid", "optuna"]) -> None:
    runs = frame("model.width", [(8, 10, float("nan"))])
    assert findings(Runs.of(runs), plan("model.width", search)) == ["no trial has a memorization ratio yet"]


def test_figures_name_their_images_and_those_beyond_four_are_counted(tmp_path, monkeypatch, capsys) -> None:
    trials = grid(model__width=(64, 128), model__depth=(1, 2, 3, 4, 5), data__size=SIZES[:1])
    folder = write_sweep(tmp_path / "run", trials, samples=False)
    titles = []

    def drawn(*_: object, title: str) -> Figure:
        titles.append(title)
        return Figure()

    monkeypatch.setattr("sweeps.engine.run.ending.artifacts.metric_over_factor", drawn)
    write_artifacts(str(folder), describe_run(plan("model.width"), {"cpu": 1.0}, Limits()))
    assert len(titles) == 4
    assert all(title.startswith("CIFAR-10: ") for title in titles)
    assert f"1 further figure: python -m analysis figures {folder}" in capsys.readouterr().out
