"""A Slurm of one login host and some nodes."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.hosts import Host

_CONFIGURATION = """
ClusterName=memosweep
SlurmctldHost={login}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1
ReturnToService=2
KillWait=30
NodeName={nodes} CPUs={cpus} RealMemory=4000
PartitionName=main Nodes={nodes} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A running one."""

    login: Host
    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on the login host."""
        return self.login.run(*words, environment=self.environment, folder=self.folder)

    def submit(self, file: str) -> str:
        """Submit a job; returns its identity."""
        done = self.run("sbatch", "--parsable", file)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """Return the state of a job or of a task of an array, such as RUNNING."""
        done = self.run("scontrol", "show", "job", job, "--oneliner")
        words = dict(word.partition("=")[::2] for word in done.stdout.split())
        return words.get("JobState", "unknown")

    def wait(self, condition: Callable[[], bool], seconds: float = 600) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited too long; {self.log()}"
            time.sleep(0.5)

    def log(self) -> str:
        """Return what the jobs have printed."""
        lines = [
            line for file in sorted(self.folder.glob("*.log")) for line in [file.name, *file.read_text().splitlines()]
        ]
        return "\n".join(line[:300] for line in lines)

    def again_now(self, job: str) -> None:
        """Spare a requeued job the two minutes for which Slurm holds it back."""
        self.wait(lambda: self.state(job) == "PENDING")
        done = self.run("scontrol", "update", f"JobId={job}", "StartTime=now")
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def slurm(hosts: list[Host], folder: Path, cpus: int) -> Iterator[Slurm]:
    """Start Slurm on hosts, of which the first is for logins.

    Args:
        hosts: at least two.
        folder: for its files and those of its jobs; all hosts see it.
        cpus: of each node, whatever the machine has.
    """
    login, *nodes = hosts
    services = folder / "services"
    for name in ("munge", "state"):
        (services / name).mkdir(parents=True)
    key = services / "munge/key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    names = ",".join(node.name for node in nodes)
    text = _CONFIGURATION.format(login=login.name, folder=services, nodes=names, cpus=cpus)
    (services / "slurm.conf").write_text(text)
    # What a user's shell exports goes into the jobs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["SLURM_CONF"] = str(services / "slurm.conf")
    started = []

    def start(host: Host, *words: str) -> None:
        program = shutil.which(words[0], path=f"{os.environ['PATH']}:/usr/sbin") or words[0]
        log = services / f"{words[0]}.{host.name}.log"
        started.append(host.start(program, *words[1:], log=log, environment=environment))

    try:
        munge = [f"--key-file={key}", f"--socket={services}/munge/socket", f"--pid-file={services}/munge/pid",
                 f"--log-file={services}/munge/log", f"--seed-file={services}/munge/seed"]  # fmt: skip
        start(login, "munged", "--foreground", "--force", *munge)
        start(login, "slurmctld", "-D")
        for node in nodes:
            start(node, "slurmd", "-D")
        running = Slurm(login, folder, environment)
        running.wait(lambda: _idle(running) == len(nodes), seconds=120)
        yield running
        running.run("scancel", "--user=root")
        running.wait(lambda: not running.run("squeue", "--noheader").stdout.strip(), seconds=120)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()


def _idle(running: Slurm) -> int:
    done = running.run("sinfo", "--noheader", "--Node", "--format=%t")
    return done.stdout.split().count("idle")


def hostnames(run_path: Path) -> set[str]:
    """Return the hosts on which the trials of a run reported."""
    lines = [line for file in run_path.glob("*/result.json") for line in file.read_text().splitlines()]
    return {json.loads(line)["hostname"] for line in lines}
