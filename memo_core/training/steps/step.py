"""One training step, a function of its batch, noise levels and noise; everything else is its caller's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int, UInt8
from torch import Tensor, nn

from memo_core.model.denoiser import NetworkDenoiser


def to_float(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Scale training images to what the network sees: v / 127.5 - 1, float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def denoising_loss(
    denoiser: NetworkDenoiser,
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"] | None,
    sigma: Float[Tensor, " n"],
    noise: Float[Tensor, "n c h w"],
) -> Float[Tensor, ""]:
    """Return lambda(sigma) ||D(y + sigma noise) - y||^2, denoising score matching: Karras et al. 2022, eq. 2 and 8.

    Summed over channels and pixels and averaged over the batch: weight decay is added to the gradient of
    this sum, so that a mean over pixels would move its effect by a factor of C x H x W.
    """
    level = sigma[:, None, None, None]
    error = denoiser(images + level * noise, sigma, labels) - images
    weight = denoiser.preconditioning.loss_weight(level)
    loss: Tensor = (weight * error.square()).sum() / len(images)
    return loss


Loss = Callable[[NetworkDenoiser, Tensor, Tensor | None, Tensor, Tensor], Tensor]
"""A function like `denoising_loss`."""


class FlatParameters:
    """Parameters and gradients as two flat tensors that the parameters themselves are views of.

    Optimizer, clean-up and EMA then are a handful of operations instead of some for each of 200 tensors,
    which dominate a small network's step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], with_gradients: bool = True) -> None:
        parameters = list(parameters)
        self.values = nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters]), with_gradients)
        self.gradients = torch.zeros_like(self.values) if with_gradients else None
        start = 0
        for parameter in parameters:
            end = start + parameter.numel()
            parameter.data = self.values.detach()[start:end].view(parameter.shape)
            if self.gradients is not None:
                parameter.grad = self.gradients[start:end].view(parameter.shape)
            start = end
        self.values.grad = self.gradients


@dataclass
class TrainedParameters:
    """What an optimizer changes, whatever the model, and its exponential moving average."""

    parameters: FlatParameters
    ema_parameters: FlatParameters
    optimizer: torch.optim.Adam


@dataclass
class TrainingState(TrainedParameters):
    """A denoiser, its exponential moving average and its optimizer."""

    denoiser: NetworkDenoiser
    ema: NetworkDenoiser

    @classmethod
    def create(cls, denoiser: NetworkDenoiser, ema: NetworkDenoiser, weight_decay: float = 0.0) -> "TrainingState":
        """Start from a denoiser, and a network of its shape for the average, whose values are replaced."""
        ema_parameters = _average_from(denoiser, ema)
        parameters = FlatParameters(denoiser.parameters())
        optimizer = torch.optim.Adam(
            [parameters.values], lr=0.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, fused=True
        )
        return cls(parameters, ema_parameters, optimizer, denoiser, ema)

    def with_average(self, ema: NetworkDenoiser) -> "TrainingState":
        """Return the same denoiser and optimizer with an average of its own.

        Args:
            ema: a network of the denoiser's shape, whose values are replaced.
        """
        ema_parameters = _average_from(self.denoiser, ema)
        return TrainingState(self.parameters, ema_parameters, self.optimizer, self.denoiser, ema)


def _average_from(denoiser: NetworkDenoiser, ema: NetworkDenoiser) -> FlatParameters:
    """Let an average start where its denoiser is; returns its parameters."""
    ema.load_state_dict(denoiser.state_dict())
    ema.eval().requires_grad_(False)
    return FlatParameters(ema.parameters(), with_gradients=False)


def differentiate(
    state: TrainingState,
    images: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"] | None,
    sigma: Float[Tensor, " n"],
    noise: Float[Tensor, "n c h w"],
    loss_function: Loss = denoising_loss,
    parts: Sequence[slice] | None = None,
) -> Float[Tensor, ""]:
    """Put the gradient of the loss of a batch, or of parts of it, into the gradients of `state`.

    Args:
        state: only its gradients are changed.
        images: a batch (N, C, H, W), uint8, on the denoiser's device.
        labels: (N,) or None.
        sigma: noise levels (N,).
        noise: standard normal (N, C, H, W).
        loss_function: `denoising_loss`, or the same compiled.
        parts: of the batch, one after the other in memory; their gradients are added up. Over parts that make up the
            batch, in one process or in several, that sum is the gradient of the whole, to rounding. None takes the
            batch at once.

    Returns:
        The loss, detached, on the device: of several parts their sum, each weighted by its share of the batch.
    """
    gradients = state.parameters.gradients
    assert gradients is not None
    gradients.zero_()
    if parts is None:
        loss = loss_function(state.denoiser, to_float(images), labels, sigma, noise)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()
    total = torch.zeros((), device=images.device)
    for part in parts:
        own = None if labels is None else labels[part]
        loss = loss_function(state.denoiser, to_float(images[part]), own, sigma[part], noise[part])
        loss = loss * (len(sigma[part]) / len(sigma))
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


def move(
    state: TrainingState, learning_rate: float | Float[Tensor, ""], ema_decay: float | Float64[Tensor, ""]
) -> None:
    """Move the parameters of `state` by its gradients, a step of Adam with L2 weight decay, and its EMA after them.

    Gradients that are NaN become 0, infinite ones +-1e5, as in the published implementation.

    Args:
        state: changed in place.
        learning_rate: of this step; as a tensor on the device, a captured step can be run at another one.
        ema_decay: the share of the old average that stays, in [0, 1]; likewise, float64.
    """
    gradients = state.parameters.gradients
    assert gradients is not None
    torch.nan_to_num(gradients, nan=0.0, posinf=1e5, neginf=-1e5, out=gradients)
    state.optimizer.param_groups[0]["lr"] = learning_rate
    state.optimizer.step()
    follow(state, ema_decay)


def follow(state: TrainingState, ema_decay: float | Float64[Tensor, ""]) -> None:
    """Move the EMA of `state` after its parameters, by the share 1 - `ema_decay` of the way."""
    share = 1 - ema_decay
    if isinstance(share, Tensor):
        share = share.float()
    state.ema_parameters.values.data.lerp_(state.parameters.values.detach(), share)


def training_step(
    state: TrainingState,
    images: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"] | None,
    sigma: Float[Tensor, " n"],
    noise: Float[Tensor, "n c h w"],
    learning_rate: float | Float[Tensor, ""],
    ema_decay: float | Float64[Tensor, ""],
    loss_function: Loss = denoising_loss,
    parts: Sequence[slice] | None = None,
) -> Float[Tensor, ""]:
    """Move `state` by one step of Adam with L2 weight decay, and its EMA after it.

    Args:
        state: changed in place.
        images: a batch (N, C, H, W), uint8, on the denoiser's device.
        labels: (N,) or None.
        sigma: noise levels (N,).
        noise: standard normal (N, C, H, W); the noisy input is images + sigma x noise.
        learning_rate: of this step, as `move` takes it.
        ema_decay: likewise.
        loss_function: `denoising_loss`, or the same compiled.
        parts: of the batch, as `differentiate` takes them.

    Returns:
        The differentiated loss, detached, on the device.
    """
    loss = differentiate(state, images, labels, sigma, noise, loss_function, parts)
    move(state, learning_rate, ema_decay)
    return loss
