import pytest

from analysis.runs import factors
from analysis.runs.factors import DEPENDENT, FACTORS, declare, factor, in_order, inside_sentence, title_of, value_label


def test_every_factor_has_a_name_of_its_own() -> None:
    titles = [known.title for known in FACTORS.values()]
    assert len(set(titles)) == len(titles)
    assert factor("evaluation.batch_size").title != factor("training.batch_size").title
    assert factor("training.learning_rate").title == "Learning rate"
    assert title_of("training.batch_size + training.learning_rate") == "Batch size + Learning rate"


def test_legends_use_the_name_of_the_axis() -> None:
    assert value_label("training.weight_decay", 0.1) == "Weight decay = 0.1"
    assert value_label("data.size", 2000) == "|D| = 2k"
    assert value_label("data.labels", "true") == "true labels"
    assert value_label("data.classes", None) == "Number of classes = all"


@pytest.mark.parametrize(
    ("title", "inside"),
    [("Width", "width"), ("EMA decay", "EMA decay"), ("|D|", "|D|"), ("Weight decay", "weight decay")],
)
def test_abbreviations_keep_their_capitals(title: str, inside: str) -> None:
    assert inside_sentence(title) == inside


def test_values_come_in_order() -> None:
    assert in_order("data.size", [4, 9, 13, 15, 10, 16, 6, 4]) == [4, 6, 9, 10, 13, 15, 16]
    assert in_order("data.labels", ["unique", "none", "other", "true"]) == ["none", "true", "unique", "other"]
    assert in_order("data.classes", [None, 10, 2])[:2] == [2, 10]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declarations of a test end with it."""
    monkeypatch.setattr(factors, "FACTORS", dict(FACTORS))
    monkeypatch.setattr(factors, "DEPENDENT", dict(DEPENDENT))


@pytest.mark.usefixtures("registry")
def test_a_sweep_script_names_a_factor_that_the_paper_does_not_study() -> None:
    sweep = {"key": "training.warmup_epochs", "title": "Warm-up", "scale": "log", "dependent": ["model.dropout"]}
    declare([sweep, {}, {"key": "model.dropout"}])
    assert (factor("training.warmup_epochs").title, factor("training.warmup_epochs").scale) == ("Warm-up", "log")
    assert factors.DEPENDENT["training.warmup_epochs"] == ("model.dropout",)
    assert (factor("model.dropout").title, factor("model.dropout").scale) == ("Dropout", "linear")


@pytest.mark.usefixtures("registry")
def test_the_paper_names_its_own_factors() -> None:
    declare([{"key": "model.width", "title": "Girth", "scale": "log"}])
    assert factor("model.width").title == "Width"
