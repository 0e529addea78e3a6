"""What the commands print for stored runs, word for word, and the trials of every sweep script.

A change of these texts is a change that users see: run with `MEMOSWEEP_UPDATE_SNAPSHOTS=1` to accept it, and read the
difference.
"""

import html
import json
import math
import os
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes import grid, write_sweep

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SCRIPTS = sorted(file.stem for file in (REPOSITORY / "sweeps").glob("*.py") if file.stem not in ("__init__", "any"))
LONG_AGO = 1_700_000_000
REPORT = ("--no-figures",)
"""Figures take most of the time, and are no text."""


def _wider(settings: dict) -> float:
    return 0.9 * math.log(settings["model.width"] / 128)


def _decayed(settings: dict) -> float:
    return 0.3 - 2.5 * (settings["training.weight_decay"] > 1e-3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: widths with two seeds over four sizes, weight decays, and the same widths with another seed."""
    folder = tmp_path_factory.mktemp("stored")
    sizes = (500, 1000, 1500, 2000)
    write_sweep(folder / "widths", grid(model__width=(64, 128, 256), data__size=sizes, seed=(0, 1)), _wider)
    write_sweep(
        folder / "decays",
        grid(training__weight_decay=(0.0, 1e-3, 1e-2), data__size=(1000, 2000)),
        _decayed,
        factor="weight_decay",
        key="training.weight_decay",
    )
    write_sweep(folder / "again", grid(model__width=(64, 128, 256), data__size=sizes[:2], seed=(2,)), _wider)
    for file in folder.rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def matches() -> Callable[[str, str], None]:
    """Compare a text with its snapshot, or write it where that is asked for."""

    def check(name: str, text: str) -> None:
        file = HERE / "snapshots" / name
        if os.environ.get("MEMOSWEEP_UPDATE_SNAPSHOTS"):
            file.write_text(text)
        assert text == file.read_text(), f"{name} changed"

    return check


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Run a module or script in this process; returns its output."""

    def run(target: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [target, *arguments])
        # runpy warns of a module that is imported already, as another test may have done.
        monkeypatch.delitem(sys.modules, f"{target}.__main__", raising=False)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            if target.endswith(".py"):
                runpy.run_path(str(REPOSITORY / target), run_name="__main__")
            else:
                runpy.run_module(target, run_name="__main__")
        assert not stop.value.code
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("table", ["table", "{runs}"]),
        ("table_2", ["table", "{runs}", "--table", "2"]),
        ("table_2_latex", ["table", "{runs}", "--table", "2", "--format", "latex"]),
        ("emm", ["emm", "{runs}/widths"]),
        ("emm_zetas", ["emm", "{runs}/widths", "--zeta", "0.05", "0.2", "--format", "csv"]),
        ("compare", ["compare", "{runs}/widths", "{runs}/again"]),
        ("predict", ["predict", "{runs}/widths", "--set", "model.width=192", "--set", "data.size=1200"]),
    ],
)
@pytest.mark.filterwarnings("ignore::analysis.SkippedResultsWarning")
def test_a_command_prints_what_it_printed(name, arguments, runs, run_script, matches):
    filled = [part.format(runs=runs) for part in arguments]
    matches(f"{name}.txt", run_script("analysis", *filled).replace(str(runs), "RUNS"))


def _visible(page: str) -> str:
    """The words and numbers of a report, without figures, pictures and scripts."""
    page = re.sub(r"<(script|style|svg)\b.*?</\1>|<img[^>]*>", " ", page, flags=re.DOTALL)
    lines = (" ".join(html.unescape(re.sub(r"<[^>]*>", " ", line)).split()) for line in re.split(r"\n", page))
    return "\n".join(line for line in lines if line) + "\n"


@pytest.mark.filterwarnings("ignore::analysis.SkippedResultsWarning")
def test_a_report_has_the_numbers_that_it_had(runs, run_script, tmp_path, matches):
    page = tmp_path / "report.html"
    run_script("analysis", "report", str(runs / "widths"), str(runs / "decays"), "--out", str(page), *REPORT)
    matches("report.txt", _visible(page.read_text()).replace(str(runs), "RUNS"))


@pytest.mark.parametrize("preset", ["laptop", "paper"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_the_trials_that_it_had(script, preset, run_script, matches):
    factor = ["--factor", "width"] if script == "emm" else []
    output = run_script(f"sweeps/{script}.py", *factor, "--preset", preset, "--dry-run", "--gpus-per-trial", "0")
    trials = [json.loads(line)["config"] for line in output.splitlines()]
    assert trials
    common = {key: value for key, value in trials[0].items() if all(trial.get(key) == value for trial in trials)}
    own = [{key: value for key, value in trial.items() if key not in common} for trial in trials]
    lines = [json.dumps(common, sort_keys=True, indent=0), *(json.dumps(trial, sort_keys=True) for trial in own)]
    matches(f"dry_run_{script}_{preset}.txt", "\n".join(lines) + "\n")
