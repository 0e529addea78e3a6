"""One step of fine-tuning, a function of its latents, noise, timesteps and prompts; everything else is its caller's."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from memo_core.training.steps.step import FlatParameters, TrainedParameters

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of AdamW, as in the published scripts of diffusers."""


@dataclass(frozen=True)
class LatentBatch:
    """What one forward and backward pass takes."""

    latents: Float[Tensor, "n c h w"]
    noise: Float[Tensor, "n c h w"]
    timesteps: Int64[Tensor, " n"]
    context: Float[Tensor, "n t d"]
    """The embedded prompts."""


class FineTuned(TrainedParameters):
    """The trained parameters of a U-Net by name, their average and AdamW.

    The average is kept as numbers alone; `averaged` puts it into the network for a while.

    Args:
        unet: its parameters that require a gradient are trained.
        weight_decay: decoupled.
    """

    def __init__(self, unet: nn.Module, weight_decay: float) -> None:
        named = {name: value for name, value in unet.named_parameters() if value.requires_grad}
        average = {name: nn.Parameter(value.detach().clone(), requires_grad=False) for name, value in named.items()}
        parameters, ema_parameters = FlatParameters(named.values()), FlatParameters(average.values(), False)
        optimizer = torch.optim.AdamW(
            [parameters.values], lr=0.0, betas=BETAS, eps=EPSILON, weight_decay=weight_decay, fused=True
        )
        super().__init__(parameters, ema_parameters, optimizer)
        self._named: Mapping[str, nn.Parameter] = named
        self._average: Mapping[str, nn.Parameter] = average

    def weights(self) -> dict[str, Tensor]:
        """Return the trained parameters by name."""
        return {name: value.detach().clone() for name, value in self._named.items()}

    def averages(self) -> dict[str, Tensor]:
        """Return their averages by name."""
        return {name: value.detach().clone() for name, value in self._average.items()}

    def load(self, weights: Mapping[str, Tensor], averages: Mapping[str, Tensor]) -> None:
        """Set both, in place.

        Raises:
            ValueError: other names or shapes.
        """
        for own, stored in ((self._named, weights), (self._average, averages)):
            if own.keys() != stored.keys():
                odd = sorted(own.keys() ^ stored.keys())[0]
                raise ValueError(f"the weights are of another network: {odd} is only in one of the two")
            for name, value in own.items():
                if stored[name].shape != value.shape:
                    raise ValueError(f"{name} has shape {tuple(stored[name].shape)}, not {tuple(value.shape)}")
                value.data.copy_(stored[name])

    def clip(self, max_norm: float) -> None:
        """Scale the gradients down to an l2 norm of `max_norm`, where it is larger."""
        # Of the norms of all parameters: in float32, that of one flat tensor of a million values is off by 5e-5.
        nn.utils.clip_grad_norm_(self._named.values(), max_norm)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the network the averages in place of its parameters."""
        values = self.parameters.values.data
        kept = values.clone()
        try:
            values.copy_(self.ema_parameters.values.data)
            yield
        finally:
            values.copy_(kept)


def fine_tuning_step(
    unet: nn.Module,
    state: FineTuned,
    batches: Sequence[LatentBatch],
    noise_schedule: Any,
    learning_rate: float,
    ema_decay: float,
    max_gradient_norm: float,
    autocast: bool = False,
) -> Float[Tensor, ""]:
    """Move `state` by one step of AdamW over the mean gradient of some batches, and its average after it.

    Args:
        unet: whose parameters `state` trains.
        state: changed in place.
        batches: one pass each; of equal sizes.
        noise_schedule: a `DDPMScheduler`, which says how noise is added and what the network predicts.
        learning_rate: of this step.
        ema_decay: the share of the old average that stays.
        max_gradient_norm: larger gradients are scaled down to this l2 norm.
        autocast: run the network in bfloat16; weights, loss, optimizer and average stay float32.

    Returns:
        The mean squared error, detached, on the device.
    """
    gradients = state.parameters.gradients
    assert gradients is not None
    gradients.zero_()
    losses = []
    for batch in batches:
        loss = noise_loss(unet, batch, noise_schedule, autocast)
        (loss / len(batches)).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    state.clip(max_gradient_norm)
    state.optimizer.param_groups[0]["lr"] = learning_rate
    state.optimizer.step()
    state.ema_parameters.values.data.lerp_(state.parameters.values.detach(), 1 - ema_decay)
    return torch.stack(losses).mean()


def noise_loss(unet: nn.Module, batch: LatentBatch, noise_schedule: Any, autocast: bool = False) -> Float[Tensor, ""]:
    """Return the mean squared error of what the network predicts of noisy latents: their noise, or their velocity."""
    noisy = noise_schedule.add_noise(batch.latents, batch.noise, batch.timesteps)
    if noise_schedule.config.prediction_type == "epsilon":
        target = batch.noise
    else:
        target = noise_schedule.get_velocity(batch.latents, batch.noise, batch.timesteps)
    with torch.autocast(noisy.device.type, torch.bfloat16, enabled=autocast):
        predicted = unet(noisy, batch.timesteps, batch.context, return_dict=False)[0]
    return F.mse_loss(predicted.float(), target.float())


def cosine_learning_rate(step: int, learning_rate: float, warmup_steps: int, total_steps: int) -> float:
    """Return the learning rate of a step: a linear rise from 0, then half a cosine down to 0.

    Args:
        step: from 0.
        learning_rate: at the end of the warm-up.
        warmup_steps: of the rise.
        total_steps: of the training, warm-up included.
    """
    if step < warmup_steps:
        return learning_rate * step / max(1, warmup_steps)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return learning_rate * max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))


def ema_decay_of_step(step: int, ema_decay: float) -> float:
    """Return the share of the old average that stays after a step, from 0 on: 0, 2/11, 3/12, ... up to `ema_decay`.

    As `diffusers.training_utils.EMAModel` does.
    """
    return 0.0 if step == 0 else min((1 + step) / (10 + step), ema_decay)
