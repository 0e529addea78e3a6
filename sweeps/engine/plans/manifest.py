"""`sweep.json`: what a run was asked to do, beside its results; enough to resume it and to read it."""

import contextlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from analysis.results.store import is_local, join_url, local_path, open_location
from memo_core.errors import MemosweepError, StorageError, did_you_mean_path, first_line, quoted
from memo_core.files import write_atomically
from sweeps.engine.cluster.machines.hardware import describe_hardware
from sweeps.engine.plans.plan import Plan
from sweeps.engine.plans.ranges import STRICT

FILE = "sweep.json"
_MAX_BYTES = 256 * 2**20
"""The largest sweeps, of 100,000 trials, write less."""


Amount = Annotated[float, Field(ge=0, le=1e6)]
SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_ROOT = Path(__file__).parents[3]
_CODE = ("memo_core", "sweeps", "analysis", "pyproject.toml")
_PACKAGES = ("memosweep", "ray", "torch", "torchvision", "numpy", "scipy", "optuna", "faiss-cpu", "faiss-gpu")
"""Those that the numbers of a run depend on."""


@contextlib.contextmanager
def unreachable(message: str) -> Iterator[None]:
    """Turn what file systems raise into one line: `message` and the reason."""
    try:
        yield
    except MemosweepError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise StorageError(f"{message} ({first_line(error)})") from None


def name_of(run_path: str) -> str:
    """Return the name of a run, as `--name` takes it."""
    return Path(run_path).name if is_local(run_path) else run_path.partition("?")[0].rpartition("/")[2]


class Limits(BaseModel):
    """Of one start of a run, with what watches it; they change no number."""

    model_config = STRICT

    max_failures: Annotated[int, Field(ge=0, le=10**6)] = 3
    """Restarts of a trial without any progress in between."""
    max_concurrent: Annotated[int, Field(ge=1, le=10**6)] | None = None
    """Trials at once; None for as many as the cluster holds."""
    time_budget: Annotated[float, Field(gt=0)] | None = None
    """Seconds; None for no limit."""
    checkpoint_every: Annotated[float, Field(gt=0)] = 600.0
    """Seconds between two checkpoints of a trial, at most, beside those of its evaluations."""
    logger: list[Literal["wandb", "mlflow"]] = []
    """Trackers that get the reports too."""


class Start(BaseModel):
    """Where, when and by which code a run was started, resumed or extended."""

    model_config = STRICT

    command: list[str]
    started: str
    hardware: str
    """Of the machine that the run was started on, in words."""
    workers: list[str] = []
    """The machines that trials run on, in words, equal ones once; see `describe_nodes`."""
    versions: dict[str, str]
    """Of Python, the packages that are installed, and CUDA where torch has it."""
    git_commit: str | None
    git_dirty: bool | None = None
    """Whether the code had changes that are not in the commit; None where git does not say."""

    @classmethod
    def here(cls, workers: Sequence[str]) -> "Start":
        """Return the start by this process, now.

        Args:
            workers: the machines that trials run on, in words.
        """
        commit = _git("rev-parse", "HEAD")
        # Files that git does not know count: a sweep script that was never committed is a change too.
        changes = None if commit is None else _git("status", "--porcelain", "--", *_CODE)
        return Start(
            command=_command(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            hardware=describe_hardware(),
            workers=list(workers),
            versions=_versions(),
            git_commit=commit,
            git_dirty=None if changes is None else bool(changes),
        )


class Manifest(Start):
    """One run and its first start; validated whole when it is read, so that nothing behind it meets a damaged value."""

    plan: Plan
    resources: dict[Literal["cpu", "gpu"], Amount]
    """Of one trial."""
    limits: Limits
    images: dict[str, SHA256] = {}
    """By the settings of each training set, of the largest size, the SHA-256 of its pixels."""
    later_starts: list[Start] = []
    """In the order of time."""

    def started_again(self, workers: Sequence[str]) -> "Manifest":
        """Return the manifest with a further start, by this process, on machines as `describe_nodes` names them."""
        return self.model_copy(update={"later_starts": [*self.later_starts, Start.here(workers)]})

    def write(self, run_path: str) -> None:
        """Write `sweep.json` into the run's folder or URL.

        Raises:
            MemosweepError: the place cannot be written.
        """
        with unreachable(f"--storage-path: {run_path} cannot be written"):
            content = json.dumps(self.model_dump(mode="json"), indent=1).encode()
            if is_local(run_path):
                # A full disk or a kill amid it must not take the one that an extension replaces.
                write_atomically(Path(local_path(run_path)) / FILE, content)
                return
            filesystem, path = open_location(run_path)
            filesystem.makedirs(path, exist_ok=True)
            filesystem.pipe_file(f"{path}/{FILE}", content)

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
                hint = did_you_mean_path(local_path(run_path)) if is_local(run_path) else None
                raise MemosweepError(f"{message}; {hint}" if hint else message) from None
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
    plan: Plan,
    resources: dict[Literal["cpu", "gpu"], float],
    limits: Limits,
    workers: Sequence[str] = (),
    images: Mapping[str, str] | None = None,
) -> Manifest:
    """Return a manifest with the command, time, hardware, versions and commit of this process filled in.

    Args:
        plan: of the run.
        resources: of one trial.
        limits: of its first start.
        workers: the machines that trials run on, in words.
        images: by the settings of each training set, the SHA-256 of its pixels, 64 hexadecimal digits.
    """
    start = dict(Start.here(workers))
    return Manifest(plan=plan, resources=resources, limits=limits, images=dict(images or {}), **start)


def _versions() -> dict[str, str]:
    import torch  # noqa: PLC0415 (seconds to import)

    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    cuda = torch.version.cuda
    return {**found, "cuda": cuda} if cuda else found


def _command() -> list[str]:
    """Return what to type at the repository's root to run this again."""
    script = Path(sys.argv[0])
    return ["python", "/".join([*script.absolute().parent.parts[-1:], script.name]), *sys.argv[1:]]


def _git(*arguments: str) -> str | None:
    """Return what git says of the repository of this code; None where there is none."""
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
