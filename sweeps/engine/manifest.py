"""`sweep.json`: what a run was asked to do, beside its results; enough to resume it and to read it."""

import json
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import fsspec

from memo_core.errors import MemosweepError
from sweeps.engine.hardware import describe_hardware

FILE = "sweep.json"


@dataclass(frozen=True)
class Manifest:
    """One run."""

    factor: str
    key: str
    preset: str
    moved: list[str]
    """The keys that differ among trials."""
    trials: list[dict[str, Any]]
    resources: dict[str, float]
    max_failures: int
    search: Literal["grid", "bisect", "optuna"]
    """`grid`, `bisect` or `optuna`."""
    search_settings: dict[str, Any]
    command: list[str]
    started: str
    hardware: str
    """In words; older runs say no more than `x86_64`."""
    versions: dict[str, str]
    git_commit: str | None

    def write(self, run_path: str) -> None:
        """Write `sweep.json` into the run's folder or URL.

        Raises:
            MemosweepError: the place cannot be written.
        """
        try:
            filesystem, path = fsspec.core.url_to_fs(run_path)
            filesystem.makedirs(path, exist_ok=True)
            with filesystem.open(f"{path}/{FILE}", "w") as file:
                json.dump(asdict(self), file, indent=1)
        except (OSError, ValueError, ImportError) as error:
            raise MemosweepError(f"--storage-path: {run_path} cannot be written ({error})") from None

    @classmethod
    def read(cls, run_path: str) -> "Manifest":
        """Read it back.

        Raises:
            MemosweepError: there is none.
        """
        try:
            with fsspec.open(f"{run_path}/{FILE}", "r") as file:
                stored = json.load(file)
            # Older runs named their factor a second time.
            return cls(**{name: value for name, value in stored.items() if name not in ("title", "scale")})
        except FileNotFoundError:
            raise MemosweepError(f"{run_path} does not exist, or is no run of a sweep: it holds no {FILE}") from None
        except (OSError, ValueError, TypeError) as error:
            raise MemosweepError(f"{run_path} is no run of a sweep: {FILE} cannot be read ({error})") from None


def describe_run(**settings: Any) -> Manifest:
    """A manifest with the command, time, hardware and versions of this process filled in."""
    packages = ("ray", "torch", "torchvision", "numpy")
    return Manifest(
        **settings,
        command=_command(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=describe_hardware(),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        git_commit=_git_commit(),
    )


def _command() -> list[str]:
    """What to type at the repository's root to run this again."""
    script = Path(sys.argv[0])
    return ["python", "/".join([*script.absolute().parent.parts[-1:], script.name]), *sys.argv[1:]]


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
