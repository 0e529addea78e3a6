"""Real searches through Ray Tune."""

import pandas as pd

from tests.sweeps.conftest import evaluations, kill, settings, wait_for

BISECT = [
    "--factor", "width", "--values", "8", "--preset", "laptop", "--min-size", "2", "--max-size", "12",
    *settings(without="model.width"),
]  # fmt: skip


def trials_of(folder):
    table = pd.read_parquet(folder / "table.parquet")
    return sorted(map(tuple, table[["data.size", "seed"]].drop_duplicates().itertuples(index=False)))


def test_an_emm_search_ends_with_a_table_and_survives_a_kill(cluster, script, start_script, tmp_path):
    common = ["--storage-path", str(tmp_path)]
    code, output, errors = script("emm", *BISECT, *common, "--name", "whole")
    assert code == 0, errors + output
    emm = pd.read_csv(tmp_path / "whole/emm.csv")
    assert list(emm["value"]) == ["width=8"]
    assert (tmp_path / "whole/emm.png").stat().st_size > 1000
    # An untrained network memorizes nothing: the EMM lies below the smallest size, and is not made up.
    assert list(emm["kind"]) == ["upper_bound"]
    assert "EMM below 2" in output

    process = start_script("emm", *BISECT, *common, "--name", "killed")
    wait_for(lambda: evaluations(tmp_path / "killed") >= 1)
    kill(process)
    assert script("emm", "--factor", "width", "--resume", *common, "--name", "killed")[0] == 0
    assert trials_of(tmp_path / "killed") == trials_of(tmp_path / "whole")
    resumed = pd.read_csv(tmp_path / "killed/emm.csv")
    pd.testing.assert_frame_equal(resumed, emm)


def test_an_optuna_search_runs_its_trials_into_the_same_table(cluster, script, tmp_path):
    arguments = ["--search", "optuna", "--trials", "3", "--sizes", "10", "--preset", "laptop", "--asha"]
    ranges = ["--set", "training.learning_rate=range(1e-4,1e-2,log)"]
    code, output, errors = script(
        "weight_decay", *arguments, *settings(), *ranges, "--storage-path", str(tmp_path), "--name", "run"
    )
    assert code == 0, errors + output
    table = pd.read_parquet(tmp_path / "run/table.parquet")
    assert table["trial_id"].nunique() == 3
    assert table["training.weight_decay"].between(1e-6, 1e-1).all()
    assert table["training.learning_rate"].nunique() == 3


def test_an_emm_search_measures_an_emm(cluster, script, tmp_path):
    # Two digits are memorized in 3,000 images seen and eight are not: the ratio crosses the target between the limits.
    small = settings(without="model.width", training__images=3000, model__dropout=0, evaluation__num_samples=60,
                     evaluation__steps=8, evaluation__count=2)  # fmt: skip
    limits = ["--min-size", "2", "--max-size", "8", "--zeta", "0.5", "--tolerance", "0.5"]
    run = ["--storage-path", str(tmp_path), "--name", "run"]
    code, output, errors = script(
        "emm", "--factor", "width", "--values", "8", "--preset", "laptop", *limits, *small, *run
    )
    assert code == 0, errors + output
    (emm,) = pd.read_csv(tmp_path / "run/emm.csv").to_dict("records")
    assert emm["kind"] in ("measured", "uncertain")
    assert 2 <= emm["bracket_low"] <= emm["emm"] <= 8
    assert emm["emm_low"] <= emm["emm"] <= emm["emm_high"]
    assert emm["trainings"] == len(trials_of(tmp_path / "run")) >= 2
    assert "width=8: EMM " in output
