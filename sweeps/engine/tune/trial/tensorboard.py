"""A trial's evaluations for TensorBoard: numbers, and the first samples over their nearest training images."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from tensorboardX import SummaryWriter
from torchvision.utils import make_grid

from memo_core.evaluation import Evaluation
from memo_core.results import TIMES
from sweeps.engine.tune.trial.trial_folder import TrialFolder

_SAMPLES = 8
"""In each of the two rows of the grid."""
_ZOOM = 4
"""Small images would be drawn smoothed."""

Log = Callable[[Mapping[str, Any], Evaluation], None]


@contextlib.contextmanager
def tensorboard_log(folder: TrialFolder) -> Iterator[Log]:
    """Open a log in a trial's folder, which takes one evaluation after the other: its row, and itself."""
    with SummaryWriter(str(folder.path)) as writer:

        def log(row: Mapping[str, Any], evaluation: Evaluation) -> None:
            seen = int(row["images_seen"])
            for name, value in row.items():
                if isinstance(value, float | int) and name not in TIMES:
                    writer.add_scalar(name, value, seen)
            pairs = torch.cat([evaluation.generated[:_SAMPLES], evaluation.nearest[:_SAMPLES]])
            zoomed = pairs.repeat_interleave(_ZOOM, dim=2).repeat_interleave(_ZOOM, dim=3)
            writer.add_image("samples over nearest training images", make_grid(zoomed, nrow=len(pairs) // 2), seen)
            writer.flush()
            for file in folder.path.glob("events.out.tfevents*"):
                folder.upload(file.name)

        yield log
