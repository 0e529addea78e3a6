"""From command lines to plans, above all of runs that are extended: nothing of what they have is lost."""

import json

import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.command import _parser
from sweeps.engine.plans.manifest import Limits, Manifest, describe_run
from sweeps.engine.plans.names import without_budget
from sweeps.engine.run.planning.options import extended_plan, plan_of
from sweeps.num_classes import FACTOR as NUM_CLASSES
from sweeps.skip_connections import FACTOR as SKIP_CONNECTIONS
from sweeps.weight_decay import FACTOR as WEIGHT_DECAY
from sweeps.width import FACTOR as WIDTH


def options(*arguments, factor=WIDTH):
    return _parser(factor, None, "grid").parse_args(list(arguments))


def stored(tmp_path, *arguments, factor=WIDTH, preset="laptop"):
    """A plan as `sweep.json` gives it back."""
    plan = plan_of(factor, options(*arguments, factor=factor), preset).with_absolute_paths()
    describe_run(plan, {"cpu": 1.0}, Limits()).write(str(tmp_path))
    return Manifest.read(str(tmp_path)).plan


def extended(plan, *arguments, factor=WIDTH):
    return extended_plan(factor, options("--extend", "run", *arguments, factor=factor), plan)


@pytest.mark.parametrize("factor", [WIDTH, WEIGHT_DECAY, NUM_CLASSES, SKIP_CONNECTIONS], ids=lambda factor: factor.name)
@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_a_plan_survives_its_file_and_an_extension_by_nothing(factor, preset, tmp_path):
    plan = plan_of(factor, options(factor=factor), preset).with_absolute_paths()
    read = stored(tmp_path, factor=factor, preset=preset)
    assert read.model_dump_json() == plan.model_dump_json()
    again = extended(read, factor=factor).with_absolute_paths()
    assert again.model_dump(exclude={"selection"}) == read.model_dump(exclude={"selection"})


@pytest.mark.parametrize(
    ("started", "more", "at_once"),
    [
        (["--values", "8"], ["--values", "16", "8"], ["--values", "8", "16"]),
        (["--values", "8", "--sizes", "10"], ["--sizes", "12"], ["--values", "8", "--sizes", "10", "12"]),
        ([], ["--values", "12"], ["--values", "4", "8", "16", "12"]),
        (["--values", "8"], ["--repeats", "3"], ["--values", "8", "--repeats", "3"]),
        (["--repeats", "3"], ["--repeats", "2"], ["--repeats", "3"]),
        (["--set", "model.depth=1"], ["--sizes", "12"], ["--set", "model.depth=1", "--sizes", "10", "20", "12"]),
    ],
)
def test_an_extended_plan_has_the_trials_of_one_that_asked_for_all_at_once(started, more, at_once, tmp_path):
    plan = stored(tmp_path, *started)
    larger = extended(plan, *more)
    assert set(larger.trials) == set(plan_of(WIDTH, options(*at_once), "laptop").trials)
    assert set(larger.trials) >= set(plan.trials)
    # What was extended can be extended again.
    describe_run(larger, {"cpu": 1.0}, Limits()).write(str(tmp_path))
    twice = extended(Manifest.read(str(tmp_path)).plan, "--values", "24")
    assert set(twice.trials) > set(larger.trials)


def test_a_run_of_all_figures_keeps_them(tmp_path):
    plan = stored(tmp_path, preset="paper")
    figure = WIDTH.figures("paper")[0]
    assert extended(plan, "--figure", figure).trials == plan.trials
    assert set(extended(stored(tmp_path, "--figure", figure, preset="paper")).trials) < set(plan.trials)


def test_a_longer_budget_changes_nothing_else(tmp_path):
    plan = stored(tmp_path)
    longer = extended(plan, "--set", "training.images=1000000")
    assert {trial.total_images for trial in longer.trials} == {10**6}
    assert [without_budget(trial.to_flat()) for trial in longer.trials] == [
        without_budget(trial.to_flat()) for trial in plan.trials
    ]


def test_an_optuna_search_gets_further_trials_and_keeps_its_space(tmp_path):
    ranges = ["--set", "model.width=range(8,12)", "--set", "model.depth=choice(1,2)"]
    plan = stored(tmp_path, "--search", "optuna", "--trials", "3", "--direction", "min", *ranges)
    larger = extended(plan, "--trials", "5")
    assert larger.search == plan.search.model_copy(update={"num_trials": 5})
    assert larger.trials == plan.trials


def test_an_emm_search_gets_further_values_and_limits(tmp_path):
    plan = stored(tmp_path, "--search", "bisect", "--values", "8", "--zeta", "0.2")
    larger = extended(plan, "--values", "16", "--max-size", "200")
    assert larger.labels == ("width=8", "width=16")
    assert (larger.search.zeta, larger.search.min_size, larger.search.max_size) == (0.2, 4, 200)


GRID, BISECT = [], ["--search", "bisect"]
OPTUNA = ["--search", "optuna", "--trials", "3"]


@pytest.mark.parametrize(
    ("started", "more", "message"),
    [
        (GRID, ["--set", "model.depth=1"], "only training.epochs or training.images"),
        (GRID, ["--set", "training.images=range(1,9)"], "--extend with --set training.images"),
        (GRID, ["--set", "training.images=100"], "its trials see"),
        (GRID, ["--preset", "paper"], "--extend with --preset paper: the run has the preset laptop"),
        (GRID, ["--zeta", "0.2"], "--extend with --zeta: the run is a grid"),
        (GRID, ["--asha"], "--extend with --asha: the run is a grid"),
        (GRID, ["--values", "-1"], "model.width = -1"),
        (BISECT, ["--trials", "5"], "--extend with --trials: the run is an EMM search"),
        (BISECT, ["--sizes", "5"], "--min-size and --max-size"),
        (BISECT, ["--zeta", "0.2"], "another --zeta: trials were stopped by it"),
        (BISECT, ["--protocol", "paper"], "another --early-success: trials were stopped by it"),
        (BISECT, ["--no-sequential-sampling"], "another --sequential-sampling: trials were stopped by it"),
        (BISECT, ["--set", "training.images=1000000"], "an EMM is that of one budget"),
        (OPTUNA, ["--tolerance", "0.2"], "--extend with --tolerance: the run is an Optuna search"),
        (OPTUNA, ["--trials", "0"], "--trials 0"),
        *((OPTUNA, more, "takes --trials alone") for more in (
            ["--values", "8"], ["--sizes", "8"], ["--repeats", "2"], ["--set", "training.images=1000000"],
            ["--direction", "min"], ["--asha"], ["--figure", "3b"])),
    ],
)  # fmt: skip
def test_what_a_run_cannot_be_extended_by_is_refused_in_one_line(started, more, message, tmp_path):
    plan = stored(tmp_path, *started)
    with pytest.raises(MemosweepError) as error:
        extended(plan, *more)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_that_does_not_say_what_was_selected_is_refused(tmp_path):
    stored(tmp_path)
    content = json.loads((tmp_path / "sweep.json").read_text())
    del content["plan"]["selection"]
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(MemosweepError, match="does not say what was selected"):
        extended(Manifest.read(str(tmp_path)).plan)
