"""Which Ray to join, and whether it answers, found out before Ray itself tries for a quarter of an hour."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from memo_core.errors import MemosweepError, first_line, quoted
from sweeps.engine.cluster.limited import limited
from sweeps.engine.cluster.own_ray.folders import MARKER
from sweeps.engine.cluster.own_ray.temporary import temporary_folder

_CONNECT_SECONDS = 4.0
_JOIN_SECONDS = 22.0
_PROBE = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=50)"
_EXPECTED = "expected host:port, auto or local"


_ADDRESS_FILE = "ray_current_cluster"
"""In Ray's temporary folder: what `ray start` began or joined last on this machine, whether or not it still runs."""


@dataclass(frozen=True)
class Target:
    """A cluster to join."""

    address: str
    """`host:port`, or `auto` for Ray's own choice."""
    origin: str
    """Where it was found, in words."""
    named: str
    """For messages."""


def target(chosen: str = "auto") -> Target | None:
    """Return the cluster to join; None to start a Ray of our own.

    Args:
        chosen: the value of `--address`.
    """
    if chosen == "local":
        return None
    if chosen != "auto":
        return Target(chosen, "--address", f"--address {_unquoted(chosen)}")
    variable = os.environ.get("RAY_ADDRESS")
    if variable == "local":
        return None
    if variable:
        return Target(variable, "RAY_ADDRESS", f"RAY_ADDRESS={_unquoted(variable)}")
    running = running_ray()
    return (
        running
        if running is None
        # By Ray's own choice, which is this one: by its address, a head that `ray start` began was not joined.
        else Target("auto", "it runs on this machine", f"the Ray that runs on this machine at {running}")
    )


def running_ray() -> str | None:
    """Return the address of the cluster that `ray start` has put this machine into; None without one.

    The file that names it may be left over from a Ray that is dead, and its port be that of another one by now: a Ray
    that a sweep started for itself ends with that sweep, and is not joined. Neither is one of another user, who shares
    the machine: whose trials run there is for `--address` to say.
    """
    try:
        address = (temporary_folder() / _ADDRESS_FILE).read_text(errors="replace").strip()
    except OSError:
        return None
    for process in psutil.process_iter(["name", "cmdline", "uids"]):
        line, uids = process.info["cmdline"] or [], process.info["uids"]
        if uids is None or uids.real != os.getuid():
            continue
        if process.info["name"] == "raylet" and f"--gcs-address={address}" in line:
            sessions = [part.partition("=")[2] for part in line if part.startswith("--session_dir=")]
            if not any(Path(session, MARKER).exists() for session in sessions):
                return address
    return None


def _unquoted(text: str) -> str:
    return quoted(text).strip(chr(39))


def check_address(cluster: Target) -> None:
    """Check that a Ray cluster can be joined, within 30 seconds.

    Raises:
        MemosweepError: in one line, what is wrong with it.
    """
    address, named = cluster.address, cluster.named
    if address != "auto":
        host, port = _host_and_port(address, named)
        _connect(host, port, named)
    # What answers need not be Ray, or this machine no node of it; joining it in a process of its own can be broken off.
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_JOIN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"{named} does not answer as a Ray cluster within {_JOIN_SECONDS:g} s; {_EXPECTED}"
        raise MemosweepError(message) from None
    if probe.returncode:
        raise MemosweepError(f"{named} cannot be joined ({_reason(probe.stderr)}); {_EXPECTED}")


def _host_and_port(address: str, named: str) -> tuple[str, int]:
    if address.startswith("ray://"):
        # Its driver would run beside the cluster, and take the head for the machine that it is on.
        raise MemosweepError(f"{named}: a sweep runs on a node of its cluster, not through Ray Client; {_EXPECTED}")
    match = re.fullmatch(r"([^\s/@]+:\d+)", address)
    try:
        parts = urlsplit(f"//{match[1]}") if match else None
        host, port = (parts.hostname, parts.port) if parts else (None, None)
    except ValueError:  # a port beyond 65,535, or half a bracket
        host = port = None
    if not host or not port:
        raise MemosweepError(f"{named}: {_EXPECTED}")
    return host, port


def _connect(host: str, port: int, named: str) -> None:
    try:
        limited(lambda: socket.create_connection((host, port), _CONNECT_SECONDS).close(), _CONNECT_SECONDS)
    except socket.gaierror as error:
        raise MemosweepError(f"{named}: {host} is not a known host ({error.strerror or error})") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or ("no answer" if isinstance(error, OSError) else first_line(error))
        raise MemosweepError(f"{named}: nothing can be reached there ({reason})") from None


def _reason(output: str) -> str:
    """Return the last line of a traceback, or the one on authentication, without the name of the error."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith((" ", "["))]
    # What Ray raises over it says only that nothing was joined.
    lines = [line for line in lines if "AuthenticationError" in line.partition(":")[0]][-1:] or lines
    return first_line(ValueError(re.sub(r"^[\w.]+(Error|Exception): ", "", lines[-1]))) if lines else "no reason given"
