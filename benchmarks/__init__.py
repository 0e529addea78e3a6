"""Measured against peers, side by side; never part of the tests."""
