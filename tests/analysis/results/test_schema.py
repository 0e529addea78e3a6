import pandas as pd
import pytest

from analysis.results.columns import image_budget
from analysis.results.schema import CONFIG_CHECKS, DEFAULTS, FLOAT_COLUMNS, INTEGER_COLUMNS


def test_types_and_defaults_are_those_of_the_experiment() -> None:
    assert {"data.size", "training.images", "seed"} <= INTEGER_COLUMNS
    assert {"training.epochs", "training.weight_decay"} <= FLOAT_COLUMNS
    assert not {"data.classes", "model.skip_connections", "evaluation.fid"} & (INTEGER_COLUMNS | FLOAT_COLUMNS)
    assert DEFAULTS["model.channel_multipliers"] == "2,2,2"
    assert DEFAULTS["training.order"] == "cyclic"
    assert "data.resolution" not in DEFAULTS


def test_ranges_are_those_of_the_experiment() -> None:
    assert CONFIG_CHECKS["data.size"](2.0) == 2
    assert CONFIG_CHECKS["data.classes"]([0, 3]) == "0,3"
    assert CONFIG_CHECKS["training.epochs"](2.5) == 2.5
    for key, value in (("data.size", 1), ("model.depth", 101), ("training.ema_decay", 1.1), ("data.classes", 0)):
        with pytest.raises(ValueError, match=r"^$"):
            CONFIG_CHECKS[key](value)


def test_the_budget_is_in_images_or_in_epochs() -> None:
    assert image_budget(pd.DataFrame({"training.images": [100]})).tolist() == [100]
    settings = {"training.images": [None, 7], "training.epochs": [2.45, None], "data.size": [10, 10]}
    assert image_budget(pd.DataFrame(settings)).tolist() == [25, 7]
    assert image_budget(pd.DataFrame({"images_seen": [25]})).isna().all()
