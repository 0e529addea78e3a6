"""The size of a network from its settings alone, for what must not wait for torch."""

from collections.abc import Iterator

from memo_core.errors import MemosweepError
from memo_core.experiment.sections import ModelConfig
from memo_core.experiment.text import TINY_PIPELINE, TextConfig

_MAX_GROUPS = 32
_CHANNELS_PER_GROUP = 4
_SD1_UNET = (859_520_964, 199_296)
"""Parameters of the U-Net of Stable Diffusion 1, and of its attention's adapters for each rank."""
_TINY_UNET = (792_964, 3_072)
"""The same of the embedded pipeline."""


def norm_groups(channels: int) -> int:
    """Return the groups of a group normalization: min(32, channels / 4).

    Raises:
        MemosweepError: they cannot share the channels.
    """
    groups = min(_MAX_GROUPS, channels // _CHANNELS_PER_GROUP)
    if groups == 0 or channels % groups:
        raise MemosweepError(
            f"model.width: it gives a layer of {channels} channels, which {groups} groups cannot share; "
            "choose a multiple of 32"
        )
    return groups


def parameter_count(config: ModelConfig, resolution: int, channels: int, num_labels: int) -> int:
    """Return how many values the U-Net of `memo_core.model.unet` trains.

    Args:
        config: of a network that is trained, ddpmpp or ncsnpp.
        resolution: pixels a side of the images.
        channels: of the images, 1 or 3.
        num_labels: C of the condition; 0 for an unconditional network.

    Raises:
        MemosweepError: there is no such network.
    """
    config.check_resolution(resolution)
    noise_channels = config.width * (2 if config.architecture == "ncsnpp" else 1)
    embedding = 4 * config.width
    count = _linear(noise_channels, embedding) + _linear(embedding, embedding)
    count += noise_channels * (num_labels + 1) if num_labels else 0
    return (
        count
        + sum(_encoder(config, resolution, channels, embedding))
        + sum(_decoder(config, resolution, channels, embedding))
    )


def fine_tuned_count(text: TextConfig) -> int:
    """Return how many values a fine-tuning trains: of the embedded pipeline, else as if of Stable Diffusion 1."""
    whole, each_rank = _TINY_UNET if text.pipeline == TINY_PIPELINE else _SD1_UNET
    return whole if text.lora_rank is None else each_rank * text.lora_rank


def _encoder(config: ModelConfig, resolution: int, channels: int, embedding: int) -> Iterator[int]:
    features, auxiliary = config.width, channels
    for level, multiplier in enumerate(config.channel_multipliers):
        if level == 0:
            yield _convolution(channels, features, 3)
        else:
            yield _block(features, features, embedding, resampled=True)
            if config.architecture == "ncsnpp":
                yield _convolution(auxiliary, features, 3)
                auxiliary = features
        attention = resolution >> level == config.attention_at(resolution)
        for _ in range(config.depth):
            before, features = features, config.width * multiplier
            yield _block(before, features, embedding, attention=attention)


def _decoder(config: ModelConfig, resolution: int, channels: int, embedding: int) -> Iterator[int]:
    skips = _skip_channels(config)
    features, last = skips[-1], len(config.channel_multipliers) - 1
    for level in range(last, -1, -1):
        if level == last:
            yield _block(features, features, embedding, attention=True)
            yield _block(features, features, embedding)
        else:
            yield _block(features, features, embedding, resampled=True)
        attention = resolution >> level == config.attention_at(resolution)
        for index in range(config.depth + 1):
            before, features = features + skips.pop(), config.width * config.channel_multipliers[level]
            yield _block(before, features, embedding, attention=attention and index == config.depth)
    yield _norm(features) + _convolution(features, channels, 3)


def _skip_channels(config: ModelConfig) -> list[int]:
    """Return the channels of the skip connections, in the encoder's order."""
    channels, features = [], config.width
    for multiplier in config.channel_multipliers:
        channels.append(features)
        features = config.width * multiplier
        channels += [features] * config.depth
    return channels


def _block(cin: int, cout: int, embedding: int, resampled: bool = False, attention: bool = False) -> int:
    count = (
        _norm(cin) + _convolution(cin, cout, 3) + _linear(embedding, cout) + _norm(cout) + _convolution(cout, cout, 3)
    )
    if cin != cout or resampled:
        count += _convolution(cin, cout, 1)
    if attention:
        count += _norm(cout) + _convolution(cout, 3 * cout, 1) + _convolution(cout, cout, 1)
    return count


def _convolution(cin: int, cout: int, kernel: int) -> int:
    return cin * cout * kernel**2 + cout


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _norm(channels: int) -> int:
    norm_groups(channels)
    return 2 * channels
