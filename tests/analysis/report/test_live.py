"""The page of running sweeps: served on this machine only, read-only, built anew when results change."""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.report import live
from analysis.report.live import LiveReport, build_in_background, serve
from memo_core.errors import MemosweepError
from tests.fakes import SIZES, grid, write_sweep

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "width", grid(model__width=(64, 128), data__size=SIZES))


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[LiveReport, str]]:
    report = LiveReport([str(folder)], draw=False)
    with serve(report, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield report, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def get(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return str(answer.read().decode())


def test_the_page_is_built_when_results_change_and_not_sooner_than_it_may(folder: Path) -> None:
    clock = Clock()
    report = LiveReport([str(folder)], draw=False, every=30, clock=clock)
    assert report.update() is True
    clock.seconds = 31
    assert report.update() is False  # nothing is new
    file = next(folder.glob("*/result.json"))
    file.write_text(file.read_text() + file.read_text().splitlines()[-1] + "\n")
    clock.seconds = 62
    assert report.update() is True
    assert report.page.version == 2
    file.write_text(file.read_text().rpartition("\n{")[0] + "\n")
    clock.seconds = 91
    assert report.update() is False  # not yet
    clock.seconds = 92
    assert report.update() is True


def test_the_results_are_read_and_never_written(folder: Path) -> None:
    before = sorted((file, file.stat().st_mtime_ns) for file in folder.rglob("*"))
    LiveReport([str(folder)], draw=False).update()
    assert sorted((file, file.stat().st_mtime_ns) for file in folder.rglob("*")) == before


def test_trials_that_run_are_shown_and_counted(tmp_path: Path) -> None:
    trials = grid(data__size=SIZES)
    report = LiveReport([str(write_sweep(tmp_path / "a<b", trials, unfinished=range(len(trials))))], draw=False)
    report.update()
    assert "trials-table" in report.page.document
    assert report.page.text.endswith("2 trials with results, 0 finished, 2 running")


def test_a_folder_without_results_waits(tmp_path: Path) -> None:
    report = LiveReport([str(tmp_path)], draw=False)
    report.update()
    assert "No results yet" in report.page.document


def test_the_page_and_its_state_are_served(served: tuple[LiveReport, str]) -> None:
    report, url = served
    assert "Reading the results" in get(url)
    report.update()
    page = get(url)
    assert page.index('id="live"') < page.index("<main")
    state = json.loads(get(f"{url}/state"))
    assert state["version"] == 1
    assert re.fullmatch(r"\d\d:\d\d:\d\d: 4 trials with results, 4 finished", state["text"])


@pytest.mark.parametrize(
    ("path", "method", "host", "status"),
    [
        ("/sweep.json", "GET", "127.0.0.1:1", 404),
        ("/../../etc/passwd", "GET", "127.0.0.1:1", 404),
        ("/", "POST", "127.0.0.1:1", 501),
        ("/", "DELETE", "localhost:1", 501),
        ("/state", "GET", "evil.example:8266", 403),
        ("/", "GET", "evil.example", 403),
    ],
)
def test_nothing_else_is_answered(
    served: tuple[LiveReport, str], path: str, method: str, host: str, status: int
) -> None:
    request = urllib.request.Request(f"{served[1]}{path}", method=method, headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == status


def test_only_this_machine_can_connect(served: tuple[LiveReport, str]) -> None:
    assert served[1].startswith(f"http://{live.HOST}:")
    assert live.HOST == "127.0.0.1"


def test_a_port_that_is_taken_is_refused_and_by_default_another_is_found(served: tuple[LiveReport, str]) -> None:
    report, url = served
    port = int(url.rpartition(":")[2])
    with pytest.raises(MemosweepError, match=rf"--port {port}: cannot be listened on \(Address already in use\)"):
        serve(report, port)
    with serve(report, None) as first, serve(report, None) as second:
        assert first.server_address[1] != second.server_address[1]


@pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")
def test_an_open_page_renews_itself_and_may_ask_its_server(
    served: tuple[LiveReport, str], tmp_path: Path, monkeypatch
) -> None:
    report, url = served
    monkeypatch.setattr(live, "POLL_SECONDS", 0.2)
    asked, ended, answer = threading.Event(), threading.Event(), live._Handler.do_GET

    def do_get(handler: live._Handler) -> None:
        if handler.path == "/state" and not asked.is_set():
            # The open page shows that nothing has been read yet, and learns now that it is out of date.
            asked.set()
            build_in_background(report, ended)
            while report.page.version == 0:
                time.sleep(0.01)
        answer(handler)

    monkeypatch.setattr(live._Handler, "do_GET", do_get)
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=2000", "--dump-dom", url]  # fmt: skip
    try:
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    finally:
        ended.set()
    assert asked.is_set()
    assert "trials-table" in dom
    # The policy of a report, which fetches nothing, lets a live one ask its server.
    match = re.search(r'<div id="live" role="status">(.*?)</div>', dom)
    assert match is not None
    assert match[1].endswith("4 trials with results, 4 finished")


@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="a background job ignores Ctrl-C")
def test_the_command_says_where_and_ends_with_ctrl_c(folder: Path) -> None:
    command = [sys.executable, "-m", "analysis", "watch", str(folder), "--no-figures", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"(http://127\.0\.0\.1:\d+/) \(Ctrl-C ends\)\n", line)
        assert match is not None
        assert "Reading the results" in get(match[1]) or "trials-table" in get(match[1])
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "--port 70000: expected from 0 to 65,535"),
        (["--every", "0"], "--every 0: expected from 1"),
    ],
)
def test_bad_options_are_refused(folder: Path, arguments: list[str], message: str, capsys) -> None:
    from analysis.commands.main import main

    assert main(["watch", str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path, capsys) -> None:
    from analysis.commands.main import main

    assert main(["watch", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
