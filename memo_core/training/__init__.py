"""Training: one step, its schedules, the stream of batches, the trainer and its checkpoints."""

from memo_core.training.evaluation import Evaluation
from memo_core.training.trainer import Trainer

__all__ = ["Evaluation", "Trainer"]
