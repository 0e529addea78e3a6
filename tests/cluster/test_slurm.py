"""Job files on a real Slurm: a login host and two nodes of two CPUs.

    MEMOSWEEP_CLUSTER_TESTS=1 python -m pytest tests/cluster/test_slurm.py

Needs root and Debian's `slurm-wlm` and `munge`, whose services need not run.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import analysis
from tests.cluster.hosts import Host, hosts, obstacle
from tests.cluster.slurm import Slurm, hostnames, slurm
from tests.sweeps.conftest import REPOSITORY, evaluations, settings

REASON = obstacle("sbatch", "munged", "slurmctld", "slurmd")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

NODES = ("n1", "n2")
TRIALS = ["--preset", "laptop", "--values", "0", "1e-2", *settings(evaluation__count=20, training__images=16_000)]


@pytest.fixture(scope="module")
def made(place: Path) -> Iterator[list[Host]]:
    with hosts(["login", *NODES], place) as started:
        yield started


@pytest.fixture(scope="module")
def cluster_with_slurm(made: list[Host], place: Path) -> Iterator[Slurm]:
    with slurm(made, place, cpus=2) as running:
        running.environment["PYTHONPATH"] = str(REPOSITORY)
        yield running


def write(running: Slurm, *options: str) -> list[str]:
    """Write a job; returns the lines that say so."""
    done = running.run(sys.executable, str(REPOSITORY / "sweeps/weight_decay.py"), *TRIALS, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def ended(running: Slurm, job: str) -> None:
    running.wait(lambda: running.state(job) not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED"))
    assert running.state(job) == "COMPLETED", running.log()


def requeue(running: Slurm, job: str) -> None:
    """Send a job the signal that Slurm sends before its time limit, and let it start again."""
    done = running.run("scancel", "--batch", "--signal=USR1", job)
    assert done.returncode == 0, done.stderr
    running.again_now(job)


def finished(run_path: Path, sizes: int) -> pd.DataFrame:
    """Return the results of a run, which must be complete."""
    frame = analysis.load(run_path, cache=False)
    assert frame["trial_id"].nunique() == 2 * sizes
    assert frame["status"].unique().tolist() == ["terminated"]
    assert frame.groupby("trial_id")["images_seen"].max().unique().tolist() == [16_000]
    return frame


def left_on(running: Slurm, hosts: list[Host]) -> list[str]:
    """Return what jobs have left in /tmp of the nodes."""
    return [
        name for host in hosts[1:] for name in host.run("ls", "/tmp").stdout.split() if name.startswith("memosweep")
    ]


def test_two_jobs_on_one_node_and_a_requeue_of_one(cluster_with_slurm: Slurm, made: list[Host], place: Path) -> None:
    running = cluster_with_slurm
    for name in ("first", "second"):
        said = write(running, "--sizes", "10", "--name", name, "--slurm", f"{name}.sbatch", "--sbatch", "nodelist=n1")
        assert said[-1] == f"a job on one node for the run {place}/results/{name}; submit it with: sbatch {name}.sbatch"
    first, second = (running.submit(f"{name}.sbatch") for name in ("first", "second"))
    running.wait(lambda: min(evaluations(place / "results" / name) for name in ("first", "second")) > 0)
    assert (running.state(first), running.state(second)) == ("RUNNING", "RUNNING")
    requeue(running, first)
    ended(running, first)
    ended(running, second)
    log = (place / f"first-{first}.log").read_text()
    assert "requeued: exit code 130" in log
    assert f"resuming {place}/results/first" in log
    assert "requeued" not in (place / f"second-{second}.log").read_text()
    columns = ["trial_id", "images_seen", "loss", "memorization_ratio", "knn_distance"]
    one, other = (finished(place / "results" / name, 1)[columns] for name in ("first", "second"))
    # The interruption changed no number.
    pd.testing.assert_frame_equal(one, other)
    assert hostnames(place / "results/first") == {"n1"}
    assert left_on(running, made) == []


def test_an_array_trains_what_ray_trains_and_the_sweep_takes_it_over(cluster_with_slurm: Slurm, place: Path) -> None:
    running = cluster_with_slurm
    said = write(running, "--sizes", "10", "--name", "array", "--slurm-array", "array.sbatch")
    assert said[-1] == f"an array of 2 tasks for the run {place}/results/array; submit it with: sbatch array.sbatch"
    job = running.submit("array.sbatch")
    running.wait(lambda: evaluations(place / "results/array") > 0 and running.state(f"{job}_0") == "RUNNING")
    requeue(running, f"{job}_0")
    for task in range(2):
        ended(running, f"{job}_{task}")
    columns = ["trial_id", "images_seen", "loss", "memorization_ratio", "knn_distance"]
    array, ray = (finished(place / "results" / name, 1) for name in ("array", "first"))
    pd.testing.assert_frame_equal(array[columns], ray[columns])
    assert array["factor"].unique().tolist() == ["weight_decay"]
    before = {file: file.read_bytes() for file in (place / "results/array").glob("*/result.json")}
    sweep = [sys.executable, str(REPOSITORY / "sweeps/weight_decay.py"), "--resume", "--name", "array"]
    done = running.run(*sweep)
    assert done.returncode == 0, done.stderr
    assert (place / "results/array/table.csv").exists()
    assert before == {file: file.read_bytes() for file in (place / "results/array").glob("*/result.json")}


def test_two_nodes_and_a_requeue(cluster_with_slurm: Slurm, made: list[Host], place: Path) -> None:
    running = cluster_with_slurm
    write(running, "--sizes", "10", "20", "--name", "wide", "--slurm", "wide.sbatch", "--sbatch", "nodes=2")
    job = running.submit("wide.sbatch")
    running.wait(lambda: evaluations(place / "results/wide") > 0)
    requeue(running, job)
    ended(running, job)
    log = (place / f"wide-{job}.log").read_text()
    assert log.count("4 CPUs and 0 GPUs on 2 nodes") == 2
    assert "requeued: exit code 130" in log
    finished(place / "results/wide", 2)
    assert hostnames(place / "results/wide") == set(NODES)
    assert left_on(running, made) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sbatch", "partition=gpu"], "Slurm refuses the job (Invalid partition name specified)"),
        (["--sbatch", "nodes=3"], "Slurm refuses the job (Requested node configuration is not available)"),
        (["--sbatch", "tiem=3"], "Slurm refuses the job (unrecognized option '--tiem=3')"),
        (["--gpus-per-trial", "1"], "--gpus-per-trial 1: the job asks for no GPUs (--sbatch gpus-per-node=N)"),
    ],
)
def test_a_job_that_slurm_would_not_take_is_refused_at_once(
    cluster_with_slurm: Slurm, place: Path, options: list[str], message: str
) -> None:
    sweep = [sys.executable, str(REPOSITORY / "sweeps/weight_decay.py"), *TRIALS, "--sizes", "10"]
    done = cluster_with_slurm.run(*sweep, "--slurm", "bad.sbatch", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not (place / "bad.sbatch").exists()


def test_without_a_controller_it_says_so(cluster_with_slurm: Slurm, place: Path) -> None:
    text = Path(cluster_with_slurm.environment["SLURM_CONF"]).read_text()
    (place / "nobody.conf").write_text(text.replace("SlurmctldHost=login", "SlurmctldHost=nobody(10.77.0.99)"))
    environment = {**cluster_with_slurm.environment, "SLURM_CONF": str(place / "nobody.conf")}
    sweep = [sys.executable, str(REPOSITORY / "sweeps/weight_decay.py"), *TRIALS, "--slurm", "bad.sbatch"]
    done = cluster_with_slurm.login.run(*sweep, environment=environment, folder=place)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "Slurm" in done.stderr
    assert not (place / "bad.sbatch").exists()
