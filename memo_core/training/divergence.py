"""Stopping a training at the first step that leaves a number that is not finite."""

import math
from typing import Any

import torch
from torch import Tensor

from memo_core.errors import DivergedError
from memo_core.training.steps.step import TrainedParameters

_STEPS_PER_CHECK = 50
"""On a GPU, which would otherwise wait for the CPU at every step."""
LOSS_UNIT_EXPONENT = -149
"""Every float32 is a whole number of 2^-149, its smallest positive value."""


class DivergenceCheck:
    """Looks for losses, parameters and averages that are NaN or infinite, and sums up the losses that it reads.

    Without it such a training would go on unnoticed: NaN gradients become 0, as in the published implementation, so
    that broken parameters stay what they are.

    Args:
        state: of the training; only read.
        values_per_image: C x H x W, to express the summed loss per value.
        steps_per_check: steps between two looks at the numbers; None looks at each step on the CPU, and every so many
            steps on a GPU.
    """

    def __init__(self, state: TrainedParameters, values_per_image: int, steps_per_check: int | None = None) -> None:
        self._state, self._values_per_image = state, values_per_image
        on_cpu = state.parameters.values.device.type == "cpu"
        self._steps_per_check = steps_per_check or (1 if on_cpu else _STEPS_PER_CHECK)
        self._pending: list[tuple[int, float, Tensor]] = []
        self.learning_rate = 0.0
        """Of the last step."""
        self.last_loss: float | None = None
        """The last finite loss per value that was looked at."""
        self.loss_sum = 0
        """Of all losses that were looked at, exact, in units of 2^-149: sums of intervals can be added up and
        subtracted without rounding."""

    def after_step(self, images_seen: int, learning_rate: float, loss: Tensor) -> None:
        """Note the numbers of a step, and look at them when enough are pending.

        Args:
            images_seen: including those of the step.
            learning_rate: of the step.
            loss: its differentiated loss, a scalar on the device.

        Raises:
            DivergedError: a number of this or of an earlier pending step is not finite.
        """
        self.learning_rate = learning_rate
        self._pending.append((images_seen, learning_rate, torch.stack([loss, *_magnitudes(self._state)])))
        if len(self._pending) >= self._steps_per_check:
            self.look()

    def look(self) -> None:
        """Look at all pending steps; before an evaluation and before a checkpoint nothing may be pending.

        Raises:
            DivergedError: as of the first of them that has a number that is not finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        rows = torch.stack([numbers for _, _, numbers in pending]).tolist()
        for (images_seen, learning_rate, _), (loss, *magnitudes) in zip(pending, rows, strict=True):
            found = f"the loss is {loss}" if not math.isfinite(loss) else _broken(magnitudes)
            if found is not None:
                raise DivergedError(found, images_seen, learning_rate, self.last_loss)
            self.last_loss = loss / self._values_per_image
            self.loss_sum += int(math.ldexp(loss, -LOSS_UNIT_EXPONENT))

    def state_dict(self) -> dict[str, Any]:
        """Return what goes on in a resumed training; nothing may be pending."""
        return {"learning_rate": self.learning_rate, "last_loss": self.last_loss, "loss_sum": self.loss_sum}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Go on from there."""
        self._pending = []
        self.learning_rate, self.loss_sum = float(content["learning_rate"]), int(content["loss_sum"])
        self.last_loss = None if content["last_loss"] is None else float(content["last_loss"])


def check_finite(state: TrainedParameters, images_seen: int) -> None:
    """Refuse a broken state, before it is written to a checkpoint or trained on from there.

    Raises:
        DivergedError: parameters, averages or Adam's moments are NaN or infinite.
    """
    found = _broken(torch.stack(_magnitudes(state)).tolist())
    if found is not None:
        raise DivergedError(found, images_seen)


_NAMES = ("the parameters", "the averaged parameters", "Adam's second moments")


def _magnitudes(state: TrainedParameters) -> list[Tensor]:
    """Return the largest absolute value of each of `_NAMES`, NaN where one is NaN: scalars on the device.

    Infinite second moments are finite gradients whose squares overflow; they would end all movement of a parameter.
    """
    values = state.parameters.values
    tensors = [values.detach(), state.ema_parameters.values.detach()]
    moments = state.optimizer.state.get(values, {})
    if "exp_avg_sq" in moments:
        tensors.append(moments["exp_avg_sq"])
    # One pass and no copy, unlike isfinite().
    extremes = [torch.aminmax(tensor) for tensor in tensors]
    return [torch.maximum(-low, high) for low, high in extremes]


def _broken(magnitudes: list[float]) -> str | None:
    for name, magnitude in zip(_NAMES, magnitudes, strict=False):
        if not math.isfinite(magnitude):
            return f"{name} are not finite"
    return None
