"""Whether a Ray cluster answers at an address, found out before Ray itself tries for a quarter of an hour."""

import re
import socket
import subprocess
import sys
from urllib.parse import urlsplit

from memo_core.errors import MemosweepError, first_line, quoted
from sweeps.engine.cluster.limited import limited

_CONNECT_SECONDS = 4.0
_JOIN_SECONDS = 15.0
_PROBE = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=50)"
_EXPECTED = "expected host:port, ray://host:port, auto or local"


def check_address(address: str) -> None:
    """Check that a Ray cluster can be joined, within 30 seconds.

    Args:
        address: as in `$RAY_ADDRESS`: `host:port`, `ray://host:port`, or `auto` for the Ray that runs on this machine.

    Raises:
        MemosweepError: in one line, what is wrong with it.
    """
    named = f"RAY_ADDRESS={quoted(address).strip(chr(39))}"
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
    match = re.fullmatch(r"(?:ray://)?([^\s/@]+:\d+)", address)
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
    """Return the last line of a traceback, without the name of the error."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith((" ", "["))]
    return first_line(ValueError(re.sub(r"^[\w.]+(Error|Exception): ", "", lines[-1]))) if lines else "no reason given"
