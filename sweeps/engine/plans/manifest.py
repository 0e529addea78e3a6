"""`sweep.json`: what a run was asked to do, beside its results; enough to resume it and to read it."""

import contextlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from analysis.results.store import join_url, open_location
from memo_core.errors import MemosweepError, first_line, quoted
from sweeps.engine.cluster.hardware import describe_hardware
from sweeps.engine.plans.plan import Plan
from sweeps.engine.plans.ranges import STRICT

FILE = "sweep.json"
_MAX_BYTES = 256 * 2**20
"""The largest sweeps, of 100,000 trials, write less."""


Amount = Annotated[float, Field(ge=0, le=1e6)]


@contextlib.contextmanager
def unreachable(message: str) -> Iterator[None]:
    """Turn what file systems raise into one line: `message` and the reason."""
    try:
        yield
    except MemosweepError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise MemosweepError(f"{message} ({first_line(error)})") from None


class Limits(BaseModel):
    """Of one start of a run; they change no number."""

    model_config = STRICT

    max_failures: Annotated[int, Field(ge=0, le=10**6)] = 3
    """Restarts of a trial without any progress in between."""
    max_concurrent: Annotated[int, Field(ge=1, le=10**6)] | None = None
    """Trials at once; None for as many as the cluster holds."""
    time_budget: Annotated[float, Field(gt=0)] | None = None
    """Seconds; None for no limit."""
    checkpoint_every: Annotated[float, Field(gt=0)] = 600.0
    """Seconds between two checkpoints of a trial, at most, beside those of its evaluations."""


class Manifest(BaseModel):
    """One run; validated whole when it is read, so that nothing behind it meets a damaged value."""

    model_config = STRICT

    plan: Plan
    resources: dict[Literal["cpu", "gpu"], Amount]
    """Of one trial."""
    limits: Limits
    command: list[str]
    started: str
    hardware: str
    """In words."""
    versions: dict[str, str]
    git_commit: str | None
    images: dict[str, str] = {}
    """By the settings of each training set of the largest size, the SHA-256 of its pixels."""

    def write(self, run_path: str) -> None:
        """Write `sweep.json` into the run's folder or URL.

        Raises:
            MemosweepError: the place cannot be written.
        """
        with unreachable(f"--storage-path: {run_path} cannot be written"):
            filesystem, path = open_location(run_path)
            filesystem.makedirs(path, exist_ok=True)
            filesystem.pipe_file(f"{path}/{FILE}", json.dumps(self.model_dump(mode="json"), indent=1).encode())

    @classmethod
    def read(cls, run_path: str) -> "Manifest":
        """Read it back.

        Raises:
            MemosweepError: there is none, or it is damaged; one line that names the entry.
        """
        with unreachable(f"{run_path}: {FILE} cannot be read"):
            filesystem, path = open_location(run_path)
            try:
                content = filesystem.cat_file(f"{path}/{FILE}", end=_MAX_BYTES)
            except FileNotFoundError:
                message = f"{run_path} does not exist, or is not the run of a sweep: it holds no {FILE}"
                raise MemosweepError(message) from None
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise MemosweepError(f"{join_url(run_path, FILE)} is damaged: {_first_mistake(error)}") from None


def _first_mistake(error: ValidationError) -> str:
    """Name the first entry that is wrong: where it stands, what it is, and what would be right."""
    first = error.errors(include_url=False)[0]
    place = ".".join(quoted(part).strip("'") for part in first["loc"][:4]) or "the file"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("value_error", "json_invalid", "missing"):
        return f"{place}: {message[:300]}"
    return f"{place} = {quoted(first['input'])}: {message[0].lower()}{message[1:300]}"


def describe_run(
    plan: Plan, resources: dict[Literal["cpu", "gpu"], float], limits: Limits, images: dict[str, str]
) -> Manifest:
    """Return a manifest with the command, time, hardware and versions of this process filled in."""
    packages = ("ray", "torch", "torchvision", "numpy")
    return Manifest(
        plan=plan,
        resources=resources,
        limits=limits,
        command=_command(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=describe_hardware(),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        git_commit=_git_commit(),
        images=images,
    )


def _command() -> list[str]:
    """Return what to type at the repository's root to run this again."""
    script = Path(sys.argv[0])
    return ["python", "/".join([*script.absolute().parent.parts[-1:], script.name]), *sys.argv[1:]]


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
