"""The option that `measure` and `data` share: whether to look for duplicates in the training set."""

import argparse

UNASKED = 10_000
"""Up to so many training images the search takes seconds (13 s on one core at 32 x 32 x 3), growing quadratically."""


def add_duplicates_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--duplicates` and `--no-duplicates`."""
    parser.add_argument("--duplicates", action=argparse.BooleanOptionalAction, default=None,
                        help="count near-duplicates in the training set; quadratic in its size "
                        f"(default: up to {UNASKED:,} images)")  # fmt: skip


def wants_duplicates(options: argparse.Namespace, training_size: int) -> bool:
    """What was asked for; by default, whether it is quick."""
    asked: bool | None = options.duplicates
    return training_size <= UNASKED if asked is None else asked
