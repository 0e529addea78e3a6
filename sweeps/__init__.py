"""One short script per studied factor; what they share lives in `sweeps.engine`."""
