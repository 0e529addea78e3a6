import pytest

from memo_core.errors import MemosweepError
from sweeps.batch_size import FACTOR as BATCH_SIZE
from sweeps.conditioning import FACTOR as CONDITIONING
from sweeps.data_size import FACTOR as DATA_SIZE
from sweeps.depth import FACTOR as DEPTH
from sweeps.ema import FACTOR as EMA
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.optuna import optuna_plan
from sweeps.engine.plans.plan import OptunaOptions
from sweeps.engine.plans.ranges import Choices, Range, split_ranges
from sweeps.engine.search.build import searcher_of
from sweeps.random_labels import FACTOR as RANDOM_LABELS
from sweeps.resolution import FACTOR as RESOLUTION
from sweeps.skip_connections import FACTOR as SKIP_CONNECTIONS
from sweeps.weight_decay import FACTOR as WEIGHT_DECAY
from sweeps.width import FACTOR as WIDTH

LAPTOP, PAPER = Selection("laptop"), Selection("paper")


def ranges(*settings):
    return split_ranges(list(settings))[1]


def space_of(factor, selection, *settings):
    return optuna_plan(factor, selection, ranges(*settings), OptunaOptions()).search.space


def suggestions(factor, plan, count):
    searcher = searcher_of(factor, plan)
    return [searcher.suggest(str(number)) for number in range(count)]


def test_a_range_ends_where_its_study_does():
    assert space_of(RANDOM_LABELS, PAPER)["data.num_labels"].high == 1000
    assert space_of(RANDOM_LABELS, Selection("paper", figures=["11c"]))["data.num_labels"].high == 2000
    assert space_of(DATA_SIZE, PAPER)["data.size"] == Range(low=2000, high=50_000, log=True, integer=True)
    assert space_of(BATCH_SIZE, LAPTOP)["training.batch_size"].low == 16
    assert space_of(WEIGHT_DECAY, LAPTOP)["training.weight_decay"].low == 1e-6


@pytest.mark.parametrize(
    ("factor", "figure", "choices"),
    [
        (RESOLUTION, "2a", [32, 16, 8]),
        (RESOLUTION, "11a", [64, 32, 16]),
        (CONDITIONING, "5a", ["none", "true", "random"]),
        (CONDITIONING, "11d", ["none", "unique"]),
    ],
)
def test_choices_are_those_of_one_study(factor, figure, choices):
    plan = optuna_plan(factor, Selection("paper", figures=[figure]), {}, OptunaOptions())
    assert plan.search.space[factor.key].choices == choices
    assert plan.search.figure == figure
    assert plan.trials[0].data.dataset == ("ffhq-64x64.zip" if figure.startswith("11") else "cifar10")


@pytest.mark.parametrize("preset", ["laptop", "paper"])
@pytest.mark.parametrize("factor", [RESOLUTION, CONDITIONING, SKIP_CONNECTIONS, WIDTH], ids=lambda factor: factor.name)
def test_the_first_study_is_searched_where_none_is_named(factor, preset):
    plan = optuna_plan(factor, Selection(preset), {}, OptunaOptions())
    study = factor.studies(preset)[0]
    assert plan.search.figure == study.figure
    if factor.search_range is None:
        own = plan.search.space[factor.key].choices
        assert own == [list(value) if isinstance(value, tuple) else value for value in study.values]
    assert {probe.model.architecture for probe in plan.probes} == {"ddpmpp"}


def test_a_search_says_what_it_holds_fixed(script):
    code, output, notes = script("depth", "--preset", "paper", "--figure", "7b", "--search", "optuna", "--dry-run")
    assert code == 0
    assert "figure 7b at data.size = 2000, model.width = 128" in notes
    assert all(line.startswith("{") for line in output.splitlines())
    with pytest.raises(MemosweepError, match="searches one study"):
        optuna_plan(DEPTH, Selection("paper", figures=["3b", "7b"]), {}, OptunaOptions())
    with pytest.raises(MemosweepError, match="has 3b, 7b"):
        optuna_plan(DEPTH, Selection("paper", figures=["5a"]), {}, OptunaOptions())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.labels=choice(random,none)", "data.num_labels=choice(2,20)"], "more labels than the 10 images"),
        (["model.depth=choice(1,2)"], "6 entries"),
        (["training.epochs=range(1,2)", "training.images=range(100,200)"], "set one of the two"),
        (["model.dropout=range(0,3)"], r"model\.dropout = 3"),
        (["training.learning_rate=range(-1,1)"], r"training\.learning_rate = -1"),
    ],
)
def test_choices_and_ends_that_do_not_go_together_are_refused(settings, message):
    selection = Selection("laptop", settings={"model.skip_connections": [1] * 6})
    with pytest.raises(MemosweepError, match=message) as error:
        optuna_plan(WEIGHT_DECAY, selection, ranges(*settings), OptunaOptions())
    assert "\n" not in str(error.value)


def test_a_network_that_only_one_choice_makes_is_refused_before_the_start(script):
    choice = ["--set", "model.channel_multipliers=choice([1,1],[3,5])", "--set", "model.width=choice(64,76)"]
    code, _, errors = script("weight_decay", "--preset", "laptop", "--search", "optuna", "--dry-run", *choice)
    assert code == 2
    assert "32 groups cannot share" in errors


def test_values_beside_a_range_of_the_same_key_are_refused():
    own = ranges("training.weight_decay=range(1e-5,1e-2,log)")
    assert optuna_plan(WEIGHT_DECAY, LAPTOP, own, OptunaOptions()).search.space == own
    with pytest.raises(MemosweepError, match=r"--values and --set training\.weight_decay"):
        optuna_plan(WEIGHT_DECAY, Selection("laptop", values=[0, 1e-3]), own, OptunaOptions())
    with pytest.raises(MemosweepError, match=r"--sizes and --set data\.size"):
        optuna_plan(WEIGHT_DECAY, Selection("laptop", sizes=[10]), ranges("data.size=range(4,8)"), OptunaOptions())


def test_the_sizes_of_a_size_search_are_its_choices():
    assert space_of(DATA_SIZE, Selection("laptop", sizes=[8, 12])) == {"data.size": Choices(choices=[8, 12])}


def test_what_follows_from_the_factor_yields_to_a_range_of_its_own():
    tied = optuna_plan(BATCH_SIZE, LAPTOP, {}, OptunaOptions())
    for trial in suggestions(BATCH_SIZE, tied, 3):
        assert trial["training.learning_rate"] == pytest.approx(1.5e-2 / 32 * trial["training.batch_size"])
    free = optuna_plan(BATCH_SIZE, LAPTOP, ranges("training.learning_rate=range(1e-4,1e-2,log)"), OptunaOptions())
    for trial in suggestions(BATCH_SIZE, free, 5):
        assert trial["training.learning_rate"] <= 1e-2
    chosen = optuna_plan(BATCH_SIZE, LAPTOP, ranges("training.learning_rate=choice(1e-3,2e-3)"), OptunaOptions())
    assert {trial["training.learning_rate"] for trial in suggestions(BATCH_SIZE, chosen, 5)} <= {1e-3, 2e-3}


def test_the_ema_is_searched_up_to_the_papers_own_and_mostly_near_it():
    plan = optuna_plan(EMA, PAPER, {}, OptunaOptions(num_trials=40))
    assert plan.probes[-1].training.ema_decay == 0.99929
    decays = [trial["training.ema_decay"] for trial in suggestions(EMA, plan, 40)]
    assert all(0 <= decay <= 0.99929 for decay in decays)
    assert sum(decay > 0.9 for decay in decays) > 10


def test_trials_of_different_budgets_are_not_compared():
    for setting in ("data.size=range(4,8)", "training.images=range(100,200)"):
        with pytest.raises(MemosweepError, match="one budget"):
            optuna_plan(WIDTH, LAPTOP, ranges(setting), OptunaOptions(asha=True))


def test_a_search_takes_no_repeats():
    with pytest.raises(MemosweepError, match="no --repeats"):
        optuna_plan(WIDTH, Selection("laptop", repeats=2), {}, OptunaOptions())
