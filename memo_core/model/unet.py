"""The U-Net of DDPM++ and NCSN++: Song et al. 2021b, in EDM's configuration (Karras et al. 2022, Table 1)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from memo_core.errors import MemosweepError
from memo_core.experiment import ModelConfig
from memo_core.model.layers import (
    RESIDUAL_SCALE,
    ZERO_GAIN,
    Conv2d,
    FourierEmbedding,
    GroupNorm,
    LabelEmbedding,
    Linear,
    PositionalEmbedding,
    UNetBlock,
    shifts,
)


@dataclass(frozen=True)
class _Variant:
    """What distinguishes the two architectures."""

    taps: tuple[int, ...]
    noise_channels: int
    residual_encoder: bool


_VARIANTS = {
    "ddpmpp": _Variant(taps=(1, 1), noise_channels=1, residual_encoder=False),
    "ncsnpp": _Variant(taps=(1, 3, 3, 1), noise_channels=2, residual_encoder=True),
}


class UNet(nn.Module):
    """Encoder, decoder and (depth + 1) skip connections per resolution.

    Args:
        config: the model's settings.
        resolution: pixels a side of the images, a multiple of 2^(resolutions - 1).
        channels: of the images, 1 or 3.
        num_labels: C of the condition; 0 for an unconditional network.
    """

    def __init__(self, config: ModelConfig, resolution: int, channels: int, num_labels: int) -> None:
        super().__init__()
        config.check_resolution(resolution)
        self.config, self.resolution, self.channels, self.num_labels = (
            config,
            resolution,
            channels,
            num_labels,
        )
        variant = _VARIANTS[config.architecture]
        self._attention = config.attention_at(resolution)
        self._embedding_channels = 4 * config.width
        noise_channels = variant.noise_channels * config.width
        self.map_noise: nn.Module = (
            PositionalEmbedding(noise_channels)
            if config.time_embedding == "positional"
            else FourierEmbedding(noise_channels)
        )
        self.map_label = LabelEmbedding(num_labels, noise_channels) if num_labels else None
        self.map_layer0 = Linear(noise_channels, self._embedding_channels)
        self.map_layer1 = Linear(self._embedding_channels, self._embedding_channels)
        self.enc, skip_channels = self._encoder(variant)
        self.dec = self._decoder(variant, skip_channels)

    def _block(self, cin: int, cout: int, taps: tuple[int, ...], **options: bool | str) -> UNetBlock:
        return UNetBlock(cin, cout, self._embedding_channels, self.config.dropout, taps, **options)  # type: ignore[arg-type]

    def _encoder(self, variant: _Variant) -> tuple[nn.ModuleDict, list[int]]:
        blocks: dict[str, nn.Module] = {}
        skip_channels: list[int] = []
        features, auxiliary = self.config.width, self.channels
        for level, multiplier in enumerate(self.config.channel_multipliers):
            resolution = self.resolution >> level
            name = f"{resolution}x{resolution}"
            if level == 0:
                blocks[f"{name}_conv"] = Conv2d(self.channels, features, 3)
            else:
                blocks[f"{name}_down"] = self._block(features, features, variant.taps, resample="down")
                if variant.residual_encoder:
                    blocks[f"{name}_aux_residual"] = Conv2d(
                        auxiliary, features, 3, "down", variant.taps, convolve_first=True
                    )
                    auxiliary = features
            skip_channels.append(features)
            for index in range(self.config.depth):
                cin, features = features, self.config.width * multiplier
                blocks[f"{name}_block{index}"] = self._block(
                    cin, features, variant.taps, attention=resolution == self._attention
                )
                skip_channels.append(features)
        return nn.ModuleDict(blocks), skip_channels

    def _decoder(self, variant: _Variant, skip_channels: list[int]) -> nn.ModuleDict:
        blocks: dict[str, nn.Module] = {}
        stack = list(skip_channels)
        features = stack[-1]
        levels = list(enumerate(self.config.channel_multipliers))
        for level, multiplier in reversed(levels):
            resolution = self.resolution >> level
            name = f"{resolution}x{resolution}"
            if level == len(levels) - 1:
                blocks[f"{name}_in0"] = self._block(features, features, variant.taps, attention=True)
                blocks[f"{name}_in1"] = self._block(features, features, variant.taps)
            else:
                blocks[f"{name}_up"] = self._block(features, features, variant.taps, resample="up")
            for index in range(self.config.depth + 1):
                cin, features = features + stack.pop(), self.config.width * multiplier
                attention = index == self.config.depth and resolution == self._attention
                blocks[f"{name}_block{index}"] = self._block(
                    cin, features, variant.taps, attention=attention, takes_skip=True
                )
        name = f"{self.resolution}x{self.resolution}"
        blocks[f"{name}_aux_norm"] = GroupNorm(features)
        blocks[f"{name}_aux_conv"] = Conv2d(features, self.channels, 3, gain=ZERO_GAIN)
        return nn.ModuleDict(blocks)

    def forward(
        self,
        x: Float[Tensor, "n c h w"],
        condition: Float[Tensor, " n"],
        labels: Int[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """Return the output of the raw network F_theta of Karras et al. 2022, eq. 7.

        Args:
            x: scaled noisy images (N, C, H, W).
            condition: c_noise(sigma), (N,).
            labels: (N,) in 0..C-1; None for no condition.
        """
        blocks = [block for block in (*self.enc.values(), *self.dec.values()) if isinstance(block, UNetBlock)]
        embedding = self._embed(condition, labels)
        by_block: dict[nn.Module, Tensor] = dict(zip(blocks, shifts(blocks, embedding), strict=True))
        skips = self._encode(x, by_block)
        return self._decode(skips, by_block)

    def _embed(self, condition: Tensor, labels: Tensor | None) -> Tensor:
        embedding: Tensor = self.map_noise(condition)
        # Published weights expect the sine half first.
        cosines, sines = embedding.chunk(2, dim=1)
        embedding = torch.cat([sines, cosines], dim=1)
        if self.map_label is not None:
            embedding = embedding + self.map_label(labels)
        return F.silu(self.map_layer1(F.silu(self.map_layer0(embedding))))

    def _encode(self, x: Tensor, by_block: Mapping[nn.Module, Tensor]) -> list[Tensor]:
        skips: list[Tensor] = []
        auxiliary = x
        for name, block in self.enc.items():
            if name.endswith("aux_residual"):
                # The downsampled image joins the features, and the sum goes on as the next image.
                x = auxiliary = (x + block(auxiliary)) * RESIDUAL_SCALE
                skips[-1] = x
            else:
                x = block(x, by_block[block]) if isinstance(block, UNetBlock) else block(x)
                skips.append(x)
        return skips

    def _decode(self, skips: list[Tensor], by_block: Mapping[nn.Module, Tensor]) -> Tensor:
        x = skips[-1]
        mask = self.config.skip_connections
        for block in self.dec.values():
            if not isinstance(block, UNetBlock):
                break
            if block.takes_skip:
                index = len(skips) - 1
                skip = skips.pop()
                # A removed connection carries zeros, so that shapes and parameter counts stay.
                x = torch.cat([x, skip if mask is None or mask[index] else torch.zeros_like(skip)], dim=1)
            x = block(x, by_block[block])
        *_, norm, conv = self.dec.values()
        output: Tensor = conv(F.silu(norm(x)))
        return output


def count_parameters(module: nn.Module) -> int:
    """Count the trainable values."""
    return sum(parameter.numel() for parameter in module.parameters())


def check_labels(labels: Int[Tensor, " n"] | None, num_labels: int) -> None:
    """Raise MemosweepError for labels outside 0..num_labels-1, or given to an unconditional model."""
    if labels is None or labels.numel() == 0:
        return
    if num_labels == 0:
        raise MemosweepError("labels were given to an unconditional model")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_labels:
        raise MemosweepError(f"labels {low} to {high}: this model takes 0 to {num_labels - 1}")
