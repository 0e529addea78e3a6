"""Training: one step, its schedules, the order of the images, the trainer and its checkpoints."""

from memo_core.training.trainer import Trainer

__all__ = ["Trainer"]
