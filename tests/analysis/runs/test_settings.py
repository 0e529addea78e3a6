import pandas as pd

from analysis.inference.comparison import compare
from analysis.inference.findings import verdicts
from analysis.results.schema import with_defaults
from analysis.runs.final import best
from analysis.runs.runs import Runs
from analysis.runs.seeds import seed_spread
from analysis.runs.settings import setting_keys
from tests.fakes import frame, grid

SIZES = (500, 1000, 2000)


def two_widths(**evaluation: tuple[object, object]) -> pd.DataFrame:
    """Two sweeps of a width each, which were measured differently."""
    parts = []
    for index, width in enumerate((64, 256)):
        part = frame(grid(model__width=(width,), data__size=SIZES, seed=(0, 1)), lambda s: s["model.width"] / 128)
        changed = {f"evaluation.{key}": values[index] for key, values in evaluation.items()}
        parts.append(part.assign(**changed, trial_id=f"{width}-" + part["trial_id"]))
    return pd.concat(parts, ignore_index=True)


def test_repeats_and_bookkeeping_tell_no_experiments_apart() -> None:
    data = two_widths(fid=(False, True), every_images=(10, 20), sampler=("ode", "ode"))
    keys = setting_keys(data)
    assert {"model.width", "data.size", "evaluation.sampler"} <= set(keys)
    assert not {"seed", "data.seed", "evaluation.fid", "evaluation.num_samples", "evaluation.every_images"} & set(keys)


def test_verdicts_and_figures_match_the_same_runs() -> None:
    data = two_widths(fid=(False, True))
    assert len(Runs.of(data).groups("model.width")) == 1
    (verdict,) = verdicts(Runs.of(data), ["width_monotonic"])
    assert verdict.effect is not None


def test_another_sampler_is_another_experiment_everywhere() -> None:
    data = two_widths(sampler=("ode", "sde"))
    assert Runs.of(data).groups("model.width") == []
    (verdict,) = verdicts(Runs.of(data), ["width_monotonic"])
    assert verdict.effect is None


def test_data_seeds_are_repeats_everywhere() -> None:
    data = frame(grid(data__size=SIZES, data__seed=(0, 1, 2)))
    assert seed_spread(best(data)).degrees == 6
    (group,) = Runs.of(data).groups("data.size", within=())
    assert len(group.runs.best) == 9


def test_a_setting_that_a_run_does_not_name_has_its_default() -> None:
    data = pd.DataFrame({"evaluation.sampler": [None, "sde"], "data.resolution": [None, 32]})
    filled = with_defaults(data)
    assert filled["evaluation.sampler"].tolist() == ["ode", "sde"]
    assert filled["data.resolution"].isna().tolist() == [True, False]
    assert with_defaults(data, ["model.depth"])["model.depth"].tolist() == [2, 2]


def test_a_sweep_differs_in_no_setting_that_it_does_not_name() -> None:
    unnamed = frame(grid(model__width=(64, 128), seed=(0, 1)))
    named = unnamed.assign(**{"evaluation.fid": False, "evaluation.steps": 18, "model.dropout": 0.13})
    answer = compare(Runs.of(unnamed), Runs.of(named))
    assert answer.differences == ()
    assert len(answer.matches) == 2


def test_a_mask_that_keeps_every_skip_connection_is_none_beside_runs_without() -> None:
    masks = ["1,1,1,1,1,1", "1,0,1,1,1,1", None]
    filled = with_defaults(pd.DataFrame({"model.skip_connections": pd.Series(masks, dtype="str")}))
    assert filled["model.skip_connections"].isna().tolist() == [True, False, True]
    among = pd.DataFrame({"model.skip_connections": pd.Series(masks[:2], dtype="str")})
    assert with_defaults(among)["model.skip_connections"].tolist() == masks[:2]
    assert (
        with_defaults(pd.DataFrame({"model.skip_connections": pd.Series([None, None], dtype="str")})).isna().all().all()
    )
