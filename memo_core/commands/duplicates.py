"""The option that `measure` and `data` share: whether to look for duplicates in the training set."""

import argparse

MAX_SIZE_BY_DEFAULT = 10_000
"""Training images up to which the search runs by default: 13 s on one core at 32 x 32 x 3, growing quadratically."""


def add_duplicates_argument(parser: argparse.ArgumentParser, further: str = "") -> None:
    """Declare `--duplicates` and `--no-duplicates`; `further` is added to their help."""
    parser.add_argument("--duplicates", action=argparse.BooleanOptionalAction, default=None,
                        help="count near-duplicates in the training set; quadratic in its size "
                        f"(default: up to {MAX_SIZE_BY_DEFAULT:,} images){further}")  # fmt: skip


def wants_duplicates(options: argparse.Namespace, training_size: int) -> bool:
    """Return whether to look for near duplicates: as requested, by default where it is quick."""
    requested: bool | None = options.duplicates
    return training_size <= MAX_SIZE_BY_DEFAULT if requested is None else requested
