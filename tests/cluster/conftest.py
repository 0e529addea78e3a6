"""What the tests with several hosts share: a folder that is not in /tmp, which each host has for itself."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

# The homes of the hosts are empty, and building the list of fonts takes its time.
os.environ.setdefault("MPLCONFIGDIR", mpl.get_cachedir())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that all hosts see, such as a network disk."""
    folder = Path(tempfile.mkdtemp(prefix="memosweep-", dir="/var/tmp"))
    # As the services of Slurm want it.
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
