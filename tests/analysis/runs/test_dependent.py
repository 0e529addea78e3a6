import pandas as pd
import pytest

from analysis.inference.findings import verdicts
from analysis.runs.final import best
from analysis.runs.groups import has_own_dependent, summary
from analysis.runs.runs import Runs
from analysis.tables.paper import paper_table
from tests.fakes import frame, grid


def pooled(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([part.assign(trial_id=f"{i}-" + part["trial_id"]) for i, part in enumerate(parts)])


def ratio(data: pd.DataFrame, **settings: object) -> float:
    """The best ratio, in percent, of the one trial with some settings."""
    runs = best(data)
    for key, value in settings.items():
        name = key.replace("__", ".")
        runs = runs[runs[name].isna() if value is None else runs[name] == value]
    return 100 * float(runs["memorization_ratio"].item())


def labels() -> pd.DataFrame:
    return pooled(
        frame(grid(data__labels=("none", "true"))),
        frame(grid(data__labels=("random",), data__num_labels=(10, 1000)),
              lambda s: 3.0 if s["data.num_labels"] == 1000 else 0.0),
    )  # fmt: skip


def architectures() -> pd.DataFrame:
    return pooled(
        frame(grid(model__time_embedding=("positional", "fourier")),
              lambda s: -3.0 if s["model.time_embedding"] == "fourier" else 0.0),
        frame(grid(model__architecture=("ncsnpp",), model__time_embedding=("fourier",)), lambda s: -1.0),
    )  # fmt: skip


def depths() -> pd.DataFrame:
    mask = "0,0,0,0,0,0,0,0,1"
    return pooled(frame(grid(model__depth=(2, 4))), frame(grid(model__skip_connections=(mask,)), lambda s: -4.0))


def test_table_4_has_the_ten_random_labels_of_the_paper() -> None:
    data = labels()
    cells = paper_table(4, Runs.of(data)).blocks[0][1]
    ours = cells[(cells["data.labels"] == "random") & (cells["data.size"] == 1000)]
    assert ours["ours"].item() == pytest.approx(ratio(data, data__labels="random", data__num_labels=10))
    assert ours["trials"].item() == 1


def test_an_architecture_has_its_own_time_embedding() -> None:
    data = architectures()
    own, fourier = Runs.of(data).groups("model.architecture")
    cells = summary(own.runs, ["model.architecture"]).set_index("model.architecture")["value"]
    assert cells["ddpmpp"] == pytest.approx(
        ratio(data, model__architecture="ddpmpp", model__time_embedding="positional")
    )
    assert fourier.title == "fourier"
    (verdict,) = verdicts(Runs.of(data), ["ncsnpp_below_ddpmpp"])
    assert verdict.effect is not None
    assert verdict.effect.value < 0


def test_a_depth_has_all_its_skip_connections() -> None:
    data = depths()
    (group,) = Runs.of(data).groups("model.depth")
    cells = summary(group.runs, ["model.depth"]).set_index("model.depth")["value"]
    assert cells[2] == pytest.approx(ratio(data, model__depth=2, model__skip_connections=None))


def test_a_dependent_setting_that_all_values_were_run_with_has_its_own_group() -> None:
    rates = grid(training__batch_size=(128, 512), training__learning_rate=(1e-4, 2e-4))
    found = Runs.of(frame(rates)).groups("training.batch_size")
    assert [group.title for group in found] == ["Learning rate = 0.0001", "Learning rate = 0.0002"]
    assert [len(group.runs.best) for group in found] == [2, 2]


def test_one_dependent_setting_for_each_value_keeps_every_row() -> None:
    tied = pd.DataFrame({"training.batch_size": [128, 512], "training.learning_rate": [1e-4, 2e-4]})
    assert has_own_dependent(tied, "training.batch_size", ["training.learning_rate"]).all()
    assert has_own_dependent(tied, "training.batch_size", ["model.absent"]).all()


def test_no_trial_is_lost_where_single_values_are_enough() -> None:
    found = Runs.of(labels()).groups("data.labels", min_values=1)
    assert [group.title for group in found] == ["Number of random classes C = 10", "Number of random classes C = 1000"]
    assert sum(len(group.runs.best) for group in found) == 4
