import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.plans.ranges import Choices, Range, all_points, check_space, combinations, split_ranges, value_of


def test_ranges_are_separated_from_settings():
    plain, spans = split_ranges(
        ["model.depth=2", "training.learning_rate=range(1e-4, 1e-2, log)", "data.labels=choice(none,true)"]
    )
    assert plain == {"model.depth": 2}
    assert spans == {
        "training.learning_rate": Range(low=1e-4, high=1e-2, log=True),
        "data.labels": Choices(choices=["none", "true"]),
    }


@pytest.mark.parametrize("text", ["range(1)", "range(2,1)", "range(0,1,log)", "range(1,2,cubic)", "range(a,b)"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(MemosweepError, match=r"training\.learning_rate"):
        split_ranges([f"training.learning_rate={text}"])


def test_a_list_may_be_a_choice():
    _, spans = split_ranges(["model.channel_multipliers=choice([1,1],[2,2,2])", "data.classes=choice(2, [3, 5])"])
    assert spans["model.channel_multipliers"].choices == [[1, 1], [2, 2, 2]]
    assert spans["data.classes"].choices == [2, [3, 5]]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.labels=choice()", r"expected choice\(a,b"),
        ("data.classes=choice([3,5)", r"expected choice\(a,b"),
        ("data.labels=range(0,1)", "not numbers"),
        ("evaluation.fid=range(0,1)", "not numbers"),
        ("data.resolution=range(4,8)", r"list them as choice\(8,16\)"),
        ("model.attention_resolution=range(4,8)", r"list them as choice\(8,16\)"),
        ("model.depth=range(1.5,3)", "whole numbers"),
        ("model.width=range(36,60)", "none of 32 above"),
        ("model.width=range(8,1e12)", "less than or equal to 16384"),
    ],
)
def test_a_span_that_cannot_be_searched_is_refused(setting, message):
    with pytest.raises(MemosweepError, match=message):
        split_ranges([setting])


@pytest.mark.parametrize(("low", "high"), [(8, 30), (36, 70), (10, 100)])
def test_a_width_stays_within_its_range(low, high):
    _, spans = split_ranges([f"model.width=range({low},{high})"])
    widths = {value_of("model.width", spans["model.width"], drawn) for drawn in range(low, high + 1)}
    assert min(widths) >= low
    assert max(widths) <= high
    assert all(width % 4 == 0 and (width <= 32 or width % 32 == 0) for width in widths)


def test_combinations_are_all_or_a_bounded_number_of_them():
    space = {"data.labels": Choices(choices=["none", "random"]), "model.width": Range(low=10, high=70)}
    assert [tuple(values.values()) for values in combinations(space)] == [
        ("none", 12), ("none", 64), ("random", 12), ("random", 64),
    ]  # fmt: skip
    many = {f"training.{name}": Choices(choices=list(range(20))) for name in ("epochs", "batch_size", "weight_decay")}
    assert len(list(combinations(many))) == 256


@pytest.mark.parametrize(
    ("key", "span", "message"),
    [
        ("model.width", Choices(choices=[8, 10**17]), r"model\.width = 100000000000000000: input should be less than"),
        ("model.width", Choices(choices=[8, 9]), "multiple of 4"),
        ("data.labels", Choices(choices=["none", "some"]), r"data\.labels = 'some'"),
        ("model.depth", Choices(choices=[True]), "not true or false"),
        ("model.dropout", Range(low=0.0, high=3.0), r"model\.dropout = 3\.0"),
        ("model.depth", Range(low=1, high=10**9, integer=True), r"model\.depth = 1000000000"),
        ("model.width", Range(low=36, high=60, integer=True), "holds no multiple of 4"),
    ],
)
def test_a_space_holds_only_what_its_keys_take(key, span, message):
    with pytest.raises(MemosweepError, match=message):
        check_space({key: span})


def test_the_points_of_a_long_range_are_not_listed():
    assert all_points({"training.images": Range(low=1, high=10**15, integer=True)}) is None
