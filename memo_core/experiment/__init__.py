"""One experiment: its frozen, validated settings, their dotted keys, and the presets. Needs pydantic alone."""

from memo_core.experiment.experiment import (
    BEFORE_THE_SETTING,
    EMBEDDED_RESOLUTION,
    EMBEDDED_SIZE,
    DataConfig,
    EvaluationConfig,
    Experiment,
    FlatExperiment,
    ModelConfig,
    TrainingConfig,
    check_key,
    field_constraint,
    keys,
    parse_value,
)

__all__ = [
    "BEFORE_THE_SETTING",
    "EMBEDDED_RESOLUTION",
    "EMBEDDED_SIZE",
    "DataConfig",
    "EvaluationConfig",
    "Experiment",
    "FlatExperiment",
    "ModelConfig",
    "TrainingConfig",
    "check_key",
    "field_constraint",
    "keys",
    "parse_value",
]
