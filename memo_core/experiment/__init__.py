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
from memo_core.experiment.text import TINY_PIPELINE, TextConfig

__all__ = [
    "EMBEDDED_RESOLUTION",
    "EMBEDDED_SIZE",
    "TINY_PIPELINE",
    "DataConfig",
    "EvaluationConfig",
    "Experiment",
    "FlatExperiment",
    "ModelConfig",
    "TextConfig",
    "TrainingConfig",
    "check_key",
    "check_value",
    "field_constraint",
    "keys",
    "parse_value",
]
