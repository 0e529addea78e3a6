from analysis.results.schema import DEFAULTS, FLOAT_SETTINGS, INTEGER_SETTINGS


def test_types_and_defaults_are_those_of_the_experiment() -> None:
    assert {"data.size", "training.images", "seed"} <= INTEGER_SETTINGS
    assert {"training.epochs", "training.weight_decay"} <= FLOAT_SETTINGS
    assert not {"data.classes", "model.skip_connections", "evaluation.fid"} & (INTEGER_SETTINGS | FLOAT_SETTINGS)
    assert DEFAULTS["model.channel_multipliers"] == "2,2,2"
    assert DEFAULTS["training.order"] == "cyclic"
    assert "data.resolution" not in DEFAULTS
