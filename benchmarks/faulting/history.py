"""What was trained twice, from the log of every training step, checkpoint and fault."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEPT = 2
"""Checkpoints that a trial keeps."""

Event = tuple[float, str, str, int]
"""Seconds, what happened, to which trial's folder, at how many images seen."""


@dataclass
class Repetition:
    """What was trained again though it need not have been.

    Attributes:
        repeated_trainings: starts of trials before their newest checkpoint that was whole.
        repeated_images: images trained on again in them.
        finished_trained_again: trainings whose results stood whole in their folder, and which took a step all the same.
        unavoidable_images: images trained on again since no whole checkpoint lay behind them.
        starts: of trainings, whether new or going on.
    """

    repeated_trainings: int = 0
    repeated_images: int = 0
    finished_trained_again: int = 0
    unavoidable_images: int = 0
    starts: int = 0


@dataclass
class _Trial:
    reached: int = 0
    kept: list[int] = field(default_factory=list)
    damaged: set[int] = field(default_factory=set)
    done: bool = False
    counted_again: bool = False

    @property
    def newest_whole(self) -> int:
        return max((position for position in self.kept if position not in self.damaged), default=0)


def read_events(folder: Path) -> list[Event]:
    """Return the events that the witnesses of all processes wrote, in their order."""
    found = []
    for file in folder.glob("*.jsonl"):
        lines = file.read_text().splitlines(keepends=True)
        # A process may have been killed within its last line.
        found += [tuple(json.loads(line)) for line in lines if line.endswith("\n")]
    return sorted(found)


def repetition(events: Iterable[Event]) -> Repetition:
    """Count what was trained again.

    Args:
        events: `went on`, `step`, `saved`, `done` of the trials' processes, `damaged` (a checkpoint) and `results lost`
            of who caused the faults; in their order.
    """
    total, trials = Repetition(), dict[str, _Trial]()
    for _, event, name, images_seen in events:
        trial = trials.setdefault(name, _Trial())
        _see(total, trial, event, images_seen)
    return total


def _see(total: Repetition, trial: _Trial, event: str, images_seen: int) -> None:
    if event == "went on":
        total.starts += 1
        missed = max(0, trial.newest_whole - images_seen)
        total.repeated_trainings += missed > 0
        total.repeated_images += missed
        total.unavoidable_images += max(0, trial.reached - max(images_seen, trial.newest_whole))
        trial.reached = images_seen
        trial.counted_again = False
    elif event == "step":
        trial.reached = images_seen
        if trial.done and not trial.counted_again:
            total.finished_trained_again += 1
            trial.counted_again = True
    elif event == "saved":
        # Later ones had been passed over as damaged.
        before = [position for position in trial.kept if position < images_seen]
        trial.kept = [*before, images_seen][-KEPT:]
        trial.damaged.discard(images_seen)
    elif event == "done":
        trial.done = True
    elif event == "damaged":
        trial.damaged.add(images_seen)
    elif event == "results lost":
        trial.done = False
    else:
        raise ValueError(f"{event}: no such event")


def as_counts(found: Repetition) -> dict[str, Any]:
    """Return the counts by name."""
    return dict(vars(found))
