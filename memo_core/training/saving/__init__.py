"""Checkpoints, and what they say of a training."""
