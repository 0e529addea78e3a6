"""One experiment: its frozen, validated settings, their dotted keys, and the presets. Needs pydantic alone."""

from memo_core.experiment.experiment import (
    Experiment,
    FlatExperiment,
    check_key,
    check_value,
    field_constraint,
    keys,
    parse_value,
)
from memo_core.experiment.sections import (
    EMBEDDED_RESOLUTION,
    EMBEDDED_SIZE,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    TrainingConfig,
)

__all__ = [
    "EMBEDDED_RESOLUTION",
    "EMBEDDED_SIZE",
    "DataConfig",
    "EvaluationConfig",
    "Experiment",
    "FlatExperiment",
    "ModelConfig",
    "TrainingConfig",
    "check_key",
    "check_value",
    "field_constraint",
    "keys",
    "parse_value",
]
