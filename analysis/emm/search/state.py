"""The memory of the search for one factor value."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from analysis.emm.search.observation import Observation, check_size

Scalar = str | int | float | bool | None


def value_key(value: Scalar) -> str:
    """A factor value as a dictionary key that tells 1 from "1" and from True.

    Raises:
        ValueError: no string, finite number, boolean or None.
    """
    bare = plain(value)
    if not isinstance(bare, str | int | float | None) or (isinstance(bare, float) and not math.isfinite(bare)):
        raise ValueError(f"factor value {value!r} must be a string, a finite number, a boolean or None")
    return json.dumps(bare)


def plain(value: Scalar) -> Scalar:
    """numpy's scalars, as tables hold them, as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Proposal:
    """A training that the search asks for.

    Attributes:
        id: unique within the search.
        value: of the factor.
        size: images to train on.
        seed: of the training.
        num_samples: samples to generate and judge.
        reason: `model`, `bisection`, `repeat` or `limit`: which rule chose the size.
    """

    id: int
    value: Scalar
    size: int
    seed: int
    num_samples: int
    reason: str = "model"

    def __post_init__(self) -> None:
        check_size(self.size)


@dataclass
class ValueState:
    """Observations, pending and failed trainings of one value.

    Attributes:
        value: of the factor.
        observations: in the order they came.
        pending: proposals under way.
        failures: failed trainings by size.
        closed: ids of proposals that were reported, so that a second report is ignored.
    """

    value: Scalar
    observations: list[Observation] = field(default_factory=list)
    pending: list[Proposal] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)

    def close(self, proposal: Proposal) -> None:
        """Takes a proposal off the pending ones."""
        self.pending = [p for p in self.pending if p.id != proposal.id]
        self.closed.append(proposal.id)

    def trainings_at(self, size: int) -> int:
        """Trainings of this size that were asked for, whatever became of them."""
        observed = sum(o.size == size for o in self.observations)
        return observed + sum(p.size == size for p in self.pending) + self.failures.get(size, 0)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "value": self.value,
            "observations": [o.to_dict() for o in self.observations],
            "pending": [asdict(p) for p in self.pending],
            "failures": sorted(self.failures.items()),
            "closed": self.closed,
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "ValueState":
        """What `to_dict` wrote."""
        return cls(
            saved["value"],
            [Observation(**o) for o in saved["observations"]],
            [Proposal(**p) for p in saved["pending"]],
            {int(size): int(count) for size, count in saved["failures"]},
            list(saved["closed"]),
        )
