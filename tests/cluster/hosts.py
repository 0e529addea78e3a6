"""Several machines on one: hosts with a network address, a name, processes, a home and a /tmp of their own.

They are namespaces of the Linux kernel, which root can make, and end with the process that made them. Everything else
of the file system they share, as machines with a network disk do.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

NETWORK = "10.77.0"
# The first process of a host collects what others leave behind.
_FIRST_PROCESS = "while true; do sleep 3600 & wait $!; done"
_SPACES = ("--mount", "--uts", "--net", "--pid")


def obstacle(*programs: str) -> str | None:
    """Return why hosts cannot be made here, or lack a program that they need; None where all is there."""
    if os.environ.get("MEMOSWEEP_CLUSTER_TESTS") != "1":
        return "takes minutes: MEMOSWEEP_CLUSTER_TESTS=1 runs it"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root makes hosts"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "ip", *programs) if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    tried = subprocess.run(["unshare", *_SPACES, "--fork", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "the kernel makes no namespaces here"


@dataclass(frozen=True)
class Host:
    """One host."""

    name: str
    address: str
    home: Path
    """Of root there, by the same path here."""
    first_process: int
    """Its id here."""

    def command(self, *words: str, folder: Path | None = None) -> list[str]:
        """Return a command line that runs a command there, in a folder; None for this process's."""
        return ["nsenter", f"--target={self.first_process}", *_SPACES, f"--wd={folder or Path.cwd()}", "--", *words]

    def start(self, *words: str, log: Path, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a program there.

        Args:
            words: its command line.
            log: takes what it prints.
            environment: its whole environment; None takes this process's.
        """
        with log.open("ab") as output:
            return subprocess.Popen(
                self.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(environment),
            )

    def run(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        seconds: float = 600,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command there to its end; see `start`."""
        return subprocess.run(
            self.command(*words, folder=folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._environment(environment),
            timeout=seconds,
            check=False,
        )

    def _environment(self, environment: Mapping[str, str] | None) -> dict[str, str]:
        return {**(os.environ if environment is None else environment), "HOME": str(self.home)}

    def processes(self) -> list[psutil.Process]:
        """Return its processes but for the first one's own; none where it is off."""
        try:
            found = psutil.Process(self.first_process).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in found if _name(process) != "sleep"]

    def power_off(self) -> None:
        """End it like a machine whose power fails."""
        psutil.Process(self.first_process).kill()


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "sleep"


@contextlib.contextmanager
def hosts(names: Sequence[str], folder: Path) -> Iterator[list[Host]]:
    """Make hosts that reach each other, and this machine reaches; in the end nothing of them is left but files.

    Args:
        names: of the hosts.
        folder: for their homes, not in /tmp.
    """
    bridge = f"ms{os.getpid()}"
    made: list[Host] = []
    with contextlib.ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "delete", bridge)
        _ip("address", "add", f"{NETWORK}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 10)}
        known = folder / "hosts"
        lines = [f"{address} {name}" for name, address in addresses.items()]
        known.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        for name, address in addresses.items():
            made.append(_made(stack, name, address, bridge, folder, known))
        yield made


def _made(stack: contextlib.ExitStack, name: str, address: str, bridge: str, folder: Path, known: Path) -> Host:
    home = folder / name
    home.mkdir(mode=0o700)
    users = folder / f"{name}.passwd"
    lines = Path("/etc/passwd").read_text().splitlines()
    users.write_text("\n".join([f"root:x:0:0:root:{home}:/bin/bash", *lines[1:], ""]))
    # Ended with this process, even where that is killed, and with it all processes of the host.
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "unshare", *_SPACES, "--fork", "--kill-child", "--mount-proc",
         "bash", "-c", _FIRST_PROCESS],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    stack.callback(process.wait)
    stack.callback(process.kill)
    outer = psutil.Process(process.pid)
    while not (inner := outer.children()) or _name(inner[0]) != "bash":
        time.sleep(0.01)
    host = Host(name, address, home, inner[0].pid)
    outside = f"{bridge}{address.rpartition('.')[2]}"
    _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", str(host.first_process))
    _ip("link", "set", outside, "master", bridge, "up")
    for words in (
        ("hostname", name),
        ("mount", "--make-rprivate", "/"),
        ("mount", "-t", "tmpfs", "tmpfs", "/tmp"),
        ("mount", "--bind", str(known), "/etc/hosts"),
        ("mount", "--bind", str(users), "/etc/passwd"),
        ("ip", "link", "set", "lo", "up"),
        ("ip", "address", "add", f"{address}/24", "dev", "eth0"),
        ("ip", "link", "set", "eth0", "up"),
        ("ip", "route", "add", "default", "via", f"{NETWORK}.1"),
    ):
        done = host.run(*words)
        assert done.returncode == 0, (words, done.stderr)
    return host


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
