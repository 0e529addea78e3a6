"""One Ray cluster for all sweep tests, and the scripts run as their users run them."""

import contextlib
import io
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Ray's workers have the environment of its start. Nothing of a real account is ever used.
os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}

REPOSITORY = Path(__file__).parents[2]
TINY = {
    "model.width": 8,
    "model.channel_multipliers": "[1,1]",
    "model.dropout": 0.1,
    "training.images": 96,
    "training.batch_size": 16,
    "training.warmup_epochs": 2,
    "evaluation.count": 3,
    "evaluation.num_samples": 12,
    "evaluation.steps": 3,
}


def settings(without: str | None = None, **changes: object) -> list[str]:
    """`--set` options of an experiment that takes a second."""
    merged = {
        **{key: value for key, value in TINY.items() if key != without},
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    return [part for key, value in merged.items() for part in ("--set", f"{key}={value}")]


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Wait until something is so; long, since a busy machine takes its time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def evaluations(folder: Path) -> int:
    """Return how many evaluations the trials of a run have reported."""
    return sum(len(file.read_text().splitlines()) for file in folder.glob("*/result.json"))


def kill(process: subprocess.Popen[str]) -> None:
    """End a driver so that it cannot clean up, and leave Ray a moment to notice."""
    process.kill()
    process.wait()
    time.sleep(1)


TWO_TRIALS = ("--values", "0", "1e-2", "--sizes", "10", "--preset", "laptop")
# Of a trial, so that the cluster of the tests holds two of them.
TWO_AT_ONCE = ("--cpus-per-trial", "0.5")


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a local cluster with one CPU.

    The process of a trial takes seconds to start, and the trials of a sweep that has one CPU follow each other in one
    process; tests of what happens to trials side by side say so (`TWO_AT_ONCE`).
    """
    import ray

    from sweeps.engine.cluster import session as ray_session

    context = ray.init(address="local", num_cpus=1, log_to_driver=False, logging_level=40, include_dashboard=False)
    os.environ["RAY_ADDRESS"] = context.address_info["gcs_address"]
    ray_session.start()
    yield os.environ.pop("RAY_ADDRESS")
    ray.shutdown()


def run_to_its_end(name: str, *arguments: str) -> str:
    """Run a sweep script in this process, for a fixture that several tests read; returns its output."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output), pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", [f"{name}.py", *arguments])
        runpy.run_path(str(REPOSITORY / f"sweeps/{name}.py"), run_name="__main__")
    assert not stop.value.code, output.getvalue()
    return output.getvalue()


@pytest.fixture(scope="session")
def finished_run(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and output of a finished run of two trials, for tests that only read the folder or copy it."""
    storage = tmp_path_factory.mktemp("finished")
    place = ["--storage-path", str(storage), "--name", "run"]
    return storage / "run", run_to_its_end("weight_decay", *TWO_TRIALS, *settings(), *place)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a sweep script in this process; returns exit code, output and errors."""

    def run(name: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(REPOSITORY / f"sweeps/{name}.py"), run_name="__main__")
        output = capsys.readouterr()
        return int(stop.value.code or 0), output.out, output.err

    return run


@pytest.fixture(scope="session")
def start_script(cluster: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a sweep script as a process of its own, which a test may kill."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *arguments: str, own_ray: bool = False) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, f"sweeps/{name}.py", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "RAY_ADDRESS": "local" if own_ray else cluster},
            # A process group of its own, which can be sent a signal.
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
