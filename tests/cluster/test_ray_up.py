"""`ray up cluster.local.yaml` on three hosts, a sweep on the head, a worker whose power fails, `ray down`.

    MEMOSWEEP_CLUSTER_TESTS=1 python -m pytest tests/cluster/test_ray_up.py -s

Needs root and Debian's `openssh-server` and `rsync`, whose services need not run. A further host stands for the user's
own machine. The hosts have the packages of this Python; `cluster.local.yaml` installs the repository on them.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import analysis
from tests.cluster.hosts import Host, hosts, obstacle
from tests.cluster.slurm import hostnames
from tests.sweeps.conftest import REPOSITORY, evaluations, settings

REASON = obstacle("sshd", "ssh", "ssh-keygen", "rsync")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=REASON or "")]

TRIALS = ["--preset", "laptop", "--values", "0", "1e-4", "1e-2", "--sizes", "10", "20"]
TRIALS += settings(evaluation__count=10, training__images=32_000)


def prepare(host: Host, wheels: Path, key: Path) -> None:
    """Make a machine with SSH, and with a virtual environment that has all packages but the repository."""
    python = host.home / "memosweep-env/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", host.home / "memosweep-env"], check=True)
    site = next((host.home / "memosweep-env/lib").glob("python*/site-packages"))
    (site / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    ray = python.with_name("ray")
    ray.write_text(f"#!{python}\nfrom ray.scripts.scripts import main\nmain()\n")
    ray.chmod(0o755)
    pip = host.home / ".config/pip/pip.conf"
    pip.parent.mkdir(parents=True)
    pip.write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    (host.home / ".bashrc").touch()
    (host.home / ".ssh").mkdir(mode=0o700)
    shutil.copy(key.with_suffix(".pub"), host.home / ".ssh/authorized_keys")
    shutil.copy(key, host.home / ".ssh/host_key")
    (host.home / "sshd_config").write_text(
        f"HostKey {host.home}/.ssh/host_key\nPidFile none\nUsePAM no\nPasswordAuthentication no\nStrictModes no\n"
        "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nMaxSessions 50\nMaxStartups 50\n"
    )


@pytest.fixture(scope="module")
def machines(place: Path) -> Iterator[list[Host]]:
    wheels = place / "wheels"
    download = ["download", "--quiet", "--no-deps", "--dest", str(wheels), "faiss-cpu", "setuptools>=68"]
    subprocess.run([sys.executable, "-m", "pip", *download], check=True)
    key = place / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    assert sshd is not None
    Path("/run/sshd").mkdir(exist_ok=True)
    started = []
    with hosts(["desk", "head", "worker1", "worker2"], place) as made:
        for host in made[1:]:
            prepare(host, wheels, key)
            started.append(host.start(sshd, "-D", "-e", "-f", f"{host.home}/sshd_config", log=host.home / "sshd.log"))
        yield made
    for process in started:
        process.wait()


class Desk:
    """The user's own machine, at the root of the repository."""

    def __init__(self, host: Host, cluster: Path) -> None:
        self.host, self.cluster = host, cluster
        bare = ("PATH", "LANG", "MPLCONFIGDIR")
        self.environment = {name: value for name in bare if (value := os.environ.get(name))}
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{self.environment['PATH']}"
        # What ray prints goes into lines.
        self.environment |= {"TERM": "dumb", "RAY_AUTH_MODE": "token"}

    def ray(self, *words: str, seconds: float = 900) -> str:
        """Run a command of ray to its end; returns what it printed."""
        done = self.host.run("ray", *words, environment=self.environment, folder=REPOSITORY, seconds=seconds)
        output = "\n".join(line[:300] for line in (done.stdout + done.stderr).splitlines())
        assert done.returncode == 0, output
        return output

    def on_head(self, command: str, log: Path) -> "subprocess.Popen[bytes]":
        """Start a command on the head, as in `ray attach`."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self.host.command("ray", "exec", str(self.cluster), command, folder=REPOSITORY),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self.environment, "HOME": str(self.host.home)},
            )


def wait(condition: Callable[[], bool], log: Path | None = None, seconds: float = 900) -> float:
    """Wait until something is so; returns the seconds that it took."""
    began = time.monotonic()
    while not condition():
        printed = log.read_text(errors="replace")[-3000:] if log is not None else ""
        assert time.monotonic() < began + seconds, f"waited too long; {printed}"
        time.sleep(0.5)
    return time.monotonic() - began


def test_a_sweep_outlives_a_worker(machines: list[Host], place: Path) -> None:
    desk_host, head, *workers = machines
    config = yaml.safe_load((REPOSITORY / "cluster.local.yaml").read_text())
    config["provider"] |= {"head_ip": head.address, "worker_ips": [worker.address for worker in workers]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(place / "key")}
    cluster = place / "cluster.local.yaml"
    cluster.write_text(yaml.safe_dump(config))
    desk = Desk(desk_host, cluster)

    def took(what: str) -> None:
        print(f"{what}: {time.monotonic() - began:.0f} s", flush=True)

    began = time.monotonic()
    desk.ray("get-auth-token", "--generate")
    desk.ray("up", "--yes", str(cluster))
    took("head is up")

    def nodes() -> int:
        return sum(any("raylet" in process.name() for process in host.processes()) for host in (head, *workers))

    wait(lambda: nodes() == 3)
    took("all three are up")

    run_path = place / "results/decay"
    log = place / "sweep.log"
    sweep = (
        f"python sweeps/weight_decay.py {' '.join(TRIALS)} --storage-path {place}/results --name decay --auto-resume"
    )
    driver = desk.on_head(f"cd ~/memosweep && {sweep}", log)
    began = time.monotonic()
    wait(lambda: driver.poll() is not None or (evaluations(run_path) > 0 and len(hostnames(run_path)) == 3), log)
    assert driver.poll() is None, log.read_text()[-3000:]
    took("trials on all three")
    workers[0].power_off()
    assert driver.wait(timeout=1500) == 0, log.read_text()[-5000:]
    took("sweep is done")

    assert "Ray: the cluster at" in log.read_text()
    frame = analysis.load(run_path, cache=False)
    assert frame["trial_id"].nunique() == 6
    assert frame["status"].unique().tolist() == ["terminated"]
    assert (frame.groupby("trial_id")["images_seen"].max() == 32_000).all()

    began = time.monotonic()
    desk.ray("down", "--yes", str(cluster))
    took("cluster is down")
    wait(lambda: nodes() == 0, seconds=60)
    print("".join(line[:160] for line in log.read_text(errors="replace").splitlines(keepends=True)))
