"""The arithmetic of a network, counted without computing anything."""

from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from memo_core.experiment import ModelConfig
from memo_core.model.denoiser import build_network


@lru_cache(maxsize=64)
def forward_flops(config: ModelConfig, resolution: int, channels: int, num_labels: int) -> int:
    """Return the floating-point operations of a network's matrix products and convolutions for one image, forward.

    Counted once for a network in a process: the start of a training asks several times.

    Raises:
        MemosweepError: the network cannot be built.
    """
    with torch.device("meta"):
        network = build_network(config, resolution, channels, num_labels)
        images, noise = torch.empty(1, channels, resolution, resolution), torch.empty(1)
        condition = torch.empty(1, dtype=torch.int64) if num_labels else None
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(images, noise, condition)
    return int(counter.get_total_flops())
