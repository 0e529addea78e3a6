"""The report of sweeps that are running, served on this machine and built anew as results come in."""

import json
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from analysis.report.page import build, environment
from analysis.results.store import open_store
from analysis.runs.runs import Runs
from memo_core.errors import MemosweepError, plural

HOST = "127.0.0.1"
POLL_SECONDS = 5
"""Between two looks of an open page, and of the server at the results."""
_FETCHES_NOTHING = "default-src 'none'"
"""Of a report's policy; a live one asks its server for its state."""
_SHARE = 0.1
"""Of the time, at most, that is spent on building pages: the trainings need the processors."""


@dataclass(frozen=True)
class Page:
    """What the server shows."""

    version: int
    """Counts up with every page."""
    text: str
    """In one line: the state of the runs, and when they were read."""
    document: str


class LiveReport:
    """Builds the page of some runs whenever their results have changed.

    Args:
        paths: folders or URLs of runs, which are read and never written.
        title: as for `build`.
        draw: as for `build`.
        every: seconds, at least, between two pages.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        paths: Sequence[str],
        title: str = "",
        draw: bool = True,
        every: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths, self._title, self._draw, self._every, self._clock = paths, title, draw, every, clock
        self._seen: object = None
        self._due = float("-inf")
        self.page = Page(0, "Reading the results ...", _waiting("Reading the results ..."))

    def update(self) -> bool:
        """Build the page anew where results have changed and it is time; returns whether it was built."""
        if self._clock() < self._due:
            return False
        seen = self._stamps()
        if seen == self._seen:
            return False
        begun = self._clock()
        text, document = self._built()
        ended = self._clock()
        self._seen, self._due = seen, ended + max(self._every, (ended - begun) / _SHARE)
        self.page = Page(self.page.version + 1, text, document)
        return True

    def _stamps(self) -> object:
        """Return what changes when results do; of a place that cannot be reached, why."""
        try:
            stores = [open_store(path) for path in self._paths]
            return [[*store.result_files().items(), *store.files().items()] for store in stores]
        except (MemosweepError, OSError) as error:
            return str(error)

    def _built(self) -> tuple[str, str]:
        at = time.strftime("%H:%M:%S")
        try:
            runs = Runs.read(self._paths, cache=False)
        except MemosweepError as error:
            return f"{at}: {error}", _waiting("No results yet", str(error))
        state = _state(runs)
        try:
            return f"{at}: {state}", build(runs, self._title, draw=self._draw)
        except MemosweepError as error:
            return f"{at}: {state}", _waiting("No results yet", str(error))


def _state(runs: Runs) -> str:
    best = runs.best
    statuses = best["status"].astype(str).tolist() if "status" in best else []
    parts = [f"{plural(runs.num_trials, 'trial')} with results", f"{len(runs.finished.best):,} finished"]
    words = {"running": "running", "error": "failed", "diverged": "diverged"}
    parts += [f"{statuses.count(status):,} {word}" for status, word in words.items() if status in statuses]
    return ", ".join(parts)


def _waiting(heading: str, why: str = "") -> str:
    return environment().get_template("waiting.html.j2").render(heading=heading, why=why)


def serve(report: LiveReport, port: int | None) -> ThreadingHTTPServer:
    """Return a server of a report, to which only this machine can connect; nothing is served before it runs.

    Args:
        report: whose `page` is served.
        port: None takes 8266, or a free one where that is taken.

    Raises:
        MemosweepError: the port is taken, or not allowed.
    """

    class Handler(_Handler):
        pass

    Handler.report = report
    for candidate in (8266, 0) if port is None else (port,):
        try:
            return ThreadingHTTPServer((HOST, candidate), Handler)
        except OSError as error:
            reason = error.strerror or str(error)
    raise MemosweepError(f"--port {port}: cannot be listened on ({reason}); leave it out for a free one")


def build_in_background(report: LiveReport, ended: threading.Event) -> threading.Thread:
    """Start to build pages until `ended` is set; returns the thread."""

    def work() -> None:
        while not ended.is_set():
            try:
                report.update()
            except Exception:  # whatever half a result does to one page, the next may be built
                traceback.print_exc()
            ended.wait(POLL_SECONDS)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of the page and of its state; there is nothing else, and nothing can be changed."""

    report: LiveReport

    def do_GET(self) -> None:
        """Answer with the page, or with its state as JSON."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer without the content."""
        self._answer()

    def _answer(self) -> None:
        # A page of another site that has its name point to this machine must not read the results.
        if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        page = self.report.page
        match urlsplit(self.path).path:
            case "/":
                live = environment().get_template("live.html.j2")
                bar = live.render(version=page.version, text=page.text, poll_seconds=POLL_SECONDS)
                document = page.document.replace(_FETCHES_NOTHING, f"{_FETCHES_NOTHING}; connect-src 'self'", 1)
                self._send(document.replace("<body>", f"<body>{bar}", 1), "text/html")
            case "/state":
                self._send(json.dumps({"version": page.version, "text": page.text}), "application/json")
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def _send(self, text: str, kind: str) -> None:
        content = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: a line for each look would hide the address."""
