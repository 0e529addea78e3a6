"""Random damage of every kind of file that the project reads; `python -m benchmarks.fuzz` runs it."""
