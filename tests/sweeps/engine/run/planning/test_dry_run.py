"""What a dry run prints, and what it does not load to print it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[5]
SLOW = ("torch", "torchvision", "ray", "pandas", "matplotlib", "scipy.stats", "seaborn", "statsmodels")
"""Packages that take seconds to import."""
_RUN = """
import json, runpy, sys
sys.argv = [sys.argv[1], *sys.argv[2:]]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    print(json.dumps({"code": end.code, "modules": sorted(sys.modules)}))
"""


def loaded(*arguments: str) -> set[str]:
    """Run a script in a process of its own; returns the modules that it has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    end = json.loads(done.stdout.splitlines()[-1])
    assert end["code"] == 0, done.stderr
    return set(end["modules"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweeps/weight_decay.py", "--dry-run"),
        ("sweeps/skip_connections.py", "--dry-run", "--preset", "paper", "--gpus-per-trial", "1"),
        ("sweeps/any.py", "--key", "seed", "--values", "1", "--dry-run"),
        ("sweeps/width.py", "--dry-run", "--search", "optuna"),
        ("sweeps/emm.py", "--help"),
        ("sweeps/emm.py", "--factor", "width", "--dry-run"),
    ],
    ids=" ".join,
)
def test_dry_runs_and_help_load_nothing_slow(arguments):
    assert loaded(*arguments).isdisjoint(SLOW)
