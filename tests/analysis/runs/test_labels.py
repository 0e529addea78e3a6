import pandas as pd

from analysis.runs.labels import covarying_keys, distinguishing_keys, independent_keys, names


def test_keys_that_move_together_are_one() -> None:
    settings = pd.DataFrame({
        "training.batch_size": [64, 64, 128], "training.learning_rate": [1e-4, 1e-4, 2e-4], "seed": [0, 1, 0],
        "model.depth": [2, 2, 2],
    })  # fmt: skip
    assert covarying_keys(settings) == [["training.batch_size", "training.learning_rate"], ["seed"]]


def test_a_setting_that_follows_from_another_is_not_independent() -> None:
    settings = pd.DataFrame({
        "data.dataset": ["digits"] * 4 + ["cifar10"] * 4, "data.resolution": [8] * 4 + [32] * 4,
        "model.depth": [2, 2, 4, 4, 2, 2, 2, 2], "training.precision": [None] * 4 + ["fp32"] * 4,
    })  # fmt: skip
    assert independent_keys(settings) == ["data.dataset", "model.depth"]
    searched = pd.DataFrame({"model.width": [1, 2, 3, 4], "training.weight_decay": [0.1, 0.3, 0.1, 0.1]})
    assert independent_keys(searched) == ["model.width", "training.weight_decay"]


def test_a_name_holds_what_tells_rows_apart_and_no_missing_value() -> None:
    settings = pd.DataFrame({
        "data.dataset": ["digits", "digits", "cifar10"], "model.depth": [2, 4, 2], "model.dropout": [0.1, 0.1, None],
        "training.epochs": [5, 5, 5],
    })  # fmt: skip
    assert names(settings) == ["digits, Depth = 2", "digits, Depth = 4", "cifar10, Depth = 2"]
    lacking = pd.DataFrame({"training.precision": [None, "fp32"], "data.classes": [2, None]})
    assert names(lacking) == ["Number of classes = 2", "Number of classes = all"]
    assert names(pd.DataFrame({"training.precision": [None, "fp32"]})) == ["", "Precision = fp32"]


def test_a_long_name_is_cut_where_no_other_is_cut_alike_and_equal_rows_have_none() -> None:
    bits = pd.DataFrame({f"model.key_{place}": [row >> place & 1 for row in range(9)] for place in range(4)})
    named = names(bits)
    assert named[5] == "Key 0 = 1, Key 1 = 0, Key 2 = 1, ..."
    assert named[8] == "Key 0 = 0, Key 1 = 0, Key 2 = 0, Key 3 = 1"
    assert len(set(named)) == len(named)
    assert names(bits.iloc[:1]) == [""]
    assert names(pd.DataFrame()) == []


def test_a_name_leaves_out_nothing_that_differs_and_the_size_comes_always() -> None:
    # Four of eight runs, in which the weight decay alone would distinguish all.
    every = pd.DataFrame({
        "data.size": [10, 20] * 4, "training.weight_decay": [0.0, 0.0, 1e-4, 1e-4, 1e-3, 1e-3, 1e-2, 1e-2],
    })  # fmt: skip
    assert names(every.iloc[[1, 2, 4, 7]], among=every) == [
        "|D| = 20, Weight decay = 0", "|D| = 10, Weight decay = 0.0001", "|D| = 10, Weight decay = 0.001",
        "|D| = 20, Weight decay = 0.01",
    ]  # fmt: skip
    assert names(every.iloc[[1, 6]], among=every) == ["|D| = 20, Weight decay = 0", "|D| = 10, Weight decay = 0.01"]
    # Both differ, and nothing says which of them matters, even where no other run is known.
    assert names(every.iloc[[1, 6]]) == ["|D| = 20, Weight decay = 0", "|D| = 10, Weight decay = 0.01"]
    assert names(every.iloc[[0, 6]], among=every) == ["Weight decay = 0", "Weight decay = 0.01"]


def test_what_a_setting_brings_along_is_not_said() -> None:
    settings = pd.DataFrame({
        "training.batch_size": [64, 128], "training.learning_rate": [1e-4, 2e-4], "evaluation.num_samples": [10, 20],
        "data.dataset": ["digits", "cifar10"], "data.resolution": [8, 32],
    })  # fmt: skip
    assert distinguishing_keys(settings) == ["training.batch_size", "data.dataset"]
    other = settings.assign(**{"training.batch_size": 64})
    assert distinguishing_keys(other[["training.batch_size", "training.learning_rate"]]) == ["training.learning_rate"]
