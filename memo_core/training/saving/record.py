"""What the evaluations of a training reported, and what of it another experiment can take over."""

import math
from dataclasses import astuple, dataclass, field
from typing import Any

from memo_core.errors import MemosweepError, OtherTrainingError
from memo_core.experiment import Experiment
from memo_core.results import EVALUATION_SCHEDULE
from memo_core.training.divergence import LOSS_UNIT_EXPONENT

Row = dict[str, float | int]
"""The metrics of one evaluation."""

_FREE = ("training.epochs", "training.images", "training.micro_batch_size", "evaluation.")
"""What may differ between a checkpoint and the training that goes on from it."""


class NotContinuedError(MemosweepError):
    """A sound checkpoint from which another experiment would not get the rows that it gets from the start."""


@dataclass(frozen=True)
class Tally:
    """Sums since the start of a training, from which means between any two evaluations are formed."""

    images_seen: int = 0
    loss_sum: int = 0
    """Exact: see `DivergenceCheck.loss_sum`."""
    seconds: float = 0.0
    """Spent on training steps, whichever process took them."""

    def since(self, before: "Tally", images_per_step: int, values_per_image: int) -> Row:
        """Return the means since an earlier tally: `loss` per value, and `images_per_second` (0 without steps)."""
        images, seconds = self.images_seen - before.images_seen, self.seconds - before.seconds
        # Python divides integers of any length with a single rounding.
        divisor = (images // images_per_step * values_per_image) << -LOSS_UNIT_EXPONENT
        return {
            "loss": (self.loss_sum - before.loss_sum) / divisor if divisor else math.nan,
            "images_per_second": images / seconds if seconds > 0 else 0.0,
        }


@dataclass
class TrainingRecord:
    """The rows of a training so far, with the tally of each."""

    rows: list[Row] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    best_images_seen: int = 0
    """Images seen at the evaluation whose samples are kept, the latest one with the highest ratio; 0 for none."""
    has_adaptive_samples: bool = False
    """Whether a rule chose the number of samples, so that the rows depend on the budget."""

    @property
    def history(self) -> list[tuple[int, float, int]]:
        """(images seen, ratio, samples) of each evaluation."""
        return [(int(row["images_seen"]), row["memorization_ratio"], int(row["num_samples"])) for row in self.rows]

    @property
    def best_ratio(self) -> float:
        """The highest memorization ratio; 0 before the first evaluation."""
        return max((row["memorization_ratio"] for row in self.rows), default=0.0)

    @property
    def last(self) -> Tally:
        """The tally of the last evaluation."""
        return self.tallies[-1] if self.tallies else Tally()

    def state_dict(self) -> dict[str, Any]:
        """Return the record as plain containers."""
        return {
            "rows": [dict(row) for row in self.rows],
            "tallies": [astuple(tally) for tally in self.tallies],
            "best_images_seen": self.best_images_seen,
            "has_adaptive_samples": self.has_adaptive_samples,
        }

    @classmethod
    def from_state(cls, content: dict[str, Any]) -> "TrainingRecord":
        """Read what `state_dict` returned.

        Raises:
            ValueError, TypeError or LookupError: it is not of that form.
        """
        rows = [{str(name): value for name, value in row.items()} for row in content["rows"]]
        tallies = [Tally(int(seen), int(total), float(seconds)) for seen, total, seconds in content["tallies"]]
        record = cls(rows, tallies, int(content["best_images_seen"]), bool(content["has_adaptive_samples"]))
        if any(isinstance(value, bool) or not isinstance(value, int | float) for row in rows for value in row.values()):
            raise ValueError("rows with values that are not numbers")
        positions = [seen for seen, _, _ in record.history]
        if positions != [tally.images_seen for tally in tallies] or positions != sorted(set(positions)):
            raise ValueError("rows that do not fit their tallies")
        return record

    def as_asked_for_at_once(
        self, experiment: Experiment, content: dict[str, Any], values_per_image: int
    ) -> "TrainingRecord":
        """Return the record that `experiment` would have after as many images, had it been asked for from the start.

        Evaluations leave the training as it is: those that it does not have are left out, and what depends on the ones
        before is formed anew (`loss`, `images_per_second`, `best_memorization_ratio`).

        Args:
            experiment: the one that goes on; its settings may differ from the checkpoint's as `check_same_training`
                allows.
            content: of the checkpoint (`Trainer.state_dict`).
            values_per_image: C x H x W.

        Raises:
            NotContinuedError: it would have evaluations that are not there, others, or other best samples; or its
                budget is smaller.
        """
        theirs, seen = Experiment.from_flat(content["experiment"]), int(content["images_seen"])
        borders = evaluation_borders(experiment)
        if seen > borders[-1]:
            raise NotContinuedError(f"its {seen:,} images seen are more than the budget of {experiment.total_images:,}")
        by_position = {tally.images_seen: index for index, tally in enumerate(self.tallies)}
        # At the position of the checkpoint itself the evaluation may still be to come.
        missing = [border for border in borders if border < seen and border not in by_position]
        if missing:
            raise NotContinuedError(f"it has no evaluation at {missing[0]:,} images seen")
        kept = [by_position[border] for border in borders if border in by_position]
        if kept:
            self._check_evaluations(experiment, theirs)
        rows: list[Row] = []
        before, best, best_images_seen = Tally(), 0.0, 0
        for index in kept:
            row, tally = self.rows[index], self.tallies[index]
            if not best_images_seen or row["memorization_ratio"] >= best:
                best_images_seen = tally.images_seen
            best = max(best, row["memorization_ratio"])
            means = tally.since(before, experiment.images_per_step, values_per_image)
            rows.append({**row, **means, "best_memorization_ratio": best})
            before = tally
        # Samples of another evaluation with the same ratio will do: the next one that reaches it replaces them.
        shown = by_position.get(self.best_images_seen)
        if kept and (shown is None or self.rows[shown]["memorization_ratio"] != best):
            raise NotContinuedError(f"it has no samples of its best evaluation, at {best_images_seen:,} images seen")
        return TrainingRecord(
            rows, [self.tallies[index] for index in kept], best_images_seen, self.has_adaptive_samples
        )

    def _check_evaluations(self, experiment: Experiment, theirs: Experiment) -> None:
        mine, before = experiment.to_flat(), theirs.to_flat()
        for key in mine:
            if key.startswith("evaluation.") and key not in EVALUATION_SCHEDULE and mine[key] != before[key]:
                raise NotContinuedError(f"it was evaluated with {key} = {before[key]}, not {mine[key]}")
        if self.has_adaptive_samples and evaluation_borders(experiment) != evaluation_borders(theirs):
            raise NotContinuedError("the number of its samples depends on the budget and the evaluations, which differ")


def evaluation_borders(experiment: Experiment) -> tuple[int, ...]:
    """Return the images seen after which a training is evaluated: the first batch border at or after each point."""
    size = experiment.images_per_step
    return tuple(dict.fromkeys(-(-point // size) * size for point in experiment.evaluation_points))


def check_same_training(experiment: Experiment, pixels_sha256: str, content: dict[str, Any]) -> None:
    """Refuse a checkpoint of another training; a longer budget, or other evaluations, continue the same one.

    Args:
        experiment: the one that goes on.
        pixels_sha256: of its training set.
        content: of the checkpoint (`Trainer.state_dict`).

    Raises:
        OtherTrainingError: another setting, or other images.
    """
    mine, theirs = experiment.to_flat(), content["experiment"]
    for key in mine:
        if not key.startswith(_FREE) and mine[key] != theirs.get(key):
            raise OtherTrainingError(f"the checkpoint was trained with {key} = {theirs.get(key)}, not {mine[key]}")
    if content["pixels_sha256"] != pixels_sha256:
        data = experiment.data
        sources = " and ".join(dict.fromkeys([data.dataset, *([data.blend_dataset] if data.blend_dataset else [])]))
        raise OtherTrainingError(
            f"the checkpoint was trained on other images than {sources} holds now (SHA-256 "
            f"{content['pixels_sha256'][:12]}..., now {pixels_sha256[:12]}...): put the former ones back, or start anew"
        )
