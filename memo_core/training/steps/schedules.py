"""Warm-up of the learning rate and of the EMA rate, in epochs (paper, Appendix B)."""

EMA_WARMUP_BASE = 0.99929


def learning_rate_at(epoch: float, learning_rate: float, warmup_epochs: float) -> float:
    """Return the learning rate of the step that starts at `epoch` = images_seen / |D|.

    It rises linearly from 0: the first step changes nothing but Adam's moments.
    """
    return learning_rate if warmup_epochs == 0 else learning_rate * min(epoch / warmup_epochs, 1.0)


def ema_decay_at(epoch: float, ema_decay: float, warmup_epochs: float) -> float:
    """Return the EMA rate after the step that starts at `epoch`; 0 (a plain copy) at epoch 0.

    ema_decay x 0.99929^(max(warmup / epoch, 1) - 1): a half-life in proportion to the images seen so far,
    until the warm-up ends.
    """
    if epoch == 0:
        return 0.0
    return float(ema_decay * EMA_WARMUP_BASE ** (max(warmup_epochs / epoch, 1.0) - 1))
