"""Paths as typed in the driver's folder, made absolute: Tune runs each trial in a folder of its own."""

import os
from collections.abc import Mapping
from typing import Any

from memo_core.experiment import EMBEDDED_SIZE, FlatExperiment

_KEYS = ("data.dataset", "data.blend_dataset")


def absolute_value(key: str, value: Any) -> Any:
    """Return a setting's value; a path to images becomes absolute, the data sets known by name stay."""
    if key not in _KEYS or not isinstance(value, str) or not value.strip() or value in EMBEDDED_SIZE:
        return value
    # As typed otherwise: a link stays a link.
    return os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111 - texts that may be no path at all


def absolute_paths(settings: Mapping[str, Any]) -> FlatExperiment:
    """Return settings by dotted key with absolute paths to images."""
    return {key: absolute_value(key, value) for key, value in settings.items()}


def fix_data_root() -> None:
    """Make a relative `$MEMOSWEEP_DATA` absolute for this process and for the workers that Ray starts from it."""
    from memo_core.data.sources import DATA_ROOT_VARIABLE  # noqa: PLC0415 - loads torch, which `--help` need not wait for

    root = os.environ.get(DATA_ROOT_VARIABLE)
    if root:
        os.environ[DATA_ROOT_VARIABLE] = os.path.abspath(os.path.expanduser(root))  # noqa: PTH100, PTH111
