"""The science of memosweep: data, models, training, sampling and measuring. Knows neither ray nor pandas."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memo_core.data.sources import open_source
    from memo_core.data.training_set import TrainingSet, load_training_set
    from memo_core.errors import DivergedError, MemosweepError, NotFiniteError
    from memo_core.evaluation import Evaluation
    from memo_core.experiment.experiment import Experiment
    from memo_core.experiment.presets import PRESETS, experiment_from
    from memo_core.interop.snapshot import Snapshot, load_snapshot, save_safetensors
    from memo_core.measure.memorization import Memorization, measure_memorization
    from memo_core.model.denoiser import Denoiser
    from memo_core.model.optimum import OptimalDenoiser
    from memo_core.sampling import generate
    from memo_core.training.saving.checkpoint import load_checkpoint, save_checkpoint
    from memo_core.training.trainer import Trainer

__all__ = [
    "PRESETS",
    "Denoiser",
    "DivergedError",
    "Evaluation",
    "Experiment",
    "Memorization",
    "MemosweepError",
    "NotFiniteError",
    "OptimalDenoiser",
    "Snapshot",
    "Trainer",
    "TrainingSet",
    "experiment_from",
    "generate",
    "load_checkpoint",
    "load_snapshot",
    "load_training_set",
    "measure_memorization",
    "open_source",
    "save_checkpoint",
    "save_safetensors",
]

_MODULES = {
    "PRESETS": "experiment.presets",
    "Denoiser": "model.denoiser",
    "DivergedError": "errors",
    "Evaluation": "evaluation",
    "Experiment": "experiment.experiment",
    "Memorization": "measure.memorization",
    "MemosweepError": "errors",
    "NotFiniteError": "errors",
    "OptimalDenoiser": "model.optimum",
    "Snapshot": "interop.snapshot",
    "Trainer": "training.trainer",
    "TrainingSet": "data.training_set",
    "experiment_from": "experiment.presets",
    "generate": "sampling",
    "load_checkpoint": "training.saving.checkpoint",
    "load_snapshot": "interop.snapshot",
    "load_training_set": "data.training_set",
    "measure_memorization": "measure.memorization",
    "open_source": "data.sources",
    "save_checkpoint": "training.saving.checkpoint",
    "save_safetensors": "interop.snapshot",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: `memo_core.experiment` and the analysis of results do without it.
    if name in _MODULES:
        return getattr(import_module(f"memo_core.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'memo_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
