"""Training: one step, its schedules, the stream of batches, the trainer and its checkpoints."""

from memo_core.training.trainer import Evaluation, Trainer

__all__ = ["Evaluation", "Trainer"]
