"""The parts of `python -m benchmarks`: how fast each stage is, side by side with what else does it."""
