"""Sweeps under faults that are really caused, and what they cost."""
