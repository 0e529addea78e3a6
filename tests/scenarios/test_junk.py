"""Values of the wrong type or out of range in result files: one line each, never a traceback."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.commands.main import main
from analysis.figures.catalog import Drawn, figures
from analysis.report.svg import inline_svg
from analysis.results.schema import CONFIG_CHECKS, REPORTED_CHECKS
from analysis.runs.runs import Runs
from tests.fakes import BASE, evaluations, grid, make_table

JUNK = {
    "text": '"junk"', "markup": '"<b>$\\\\frac{$&"', "empty": '""', "surrogate": '"\\ud800\\u001b[31m\\n"',
    "list": "[1, null, {}]", "lists": "[[1], []]", "nothing": "[]", "null": "null", "true": "true", "negative": "-3",
    "fraction": "1.5", "large": "1e30", "infinite": "1e400", "minus infinity": "-Infinity", "nan": "NaN",
    "nested": '{"a": {"b": [1]}}', "huge": "9" * 400, "int64": str(2**63), "tiny": "5e-324", "zero": "0",
}  # fmt: skip
KEYS = [*(("config", key) for key in CONFIG_CHECKS if key != "data.size"), ("config", "data.size"),
        *(("reported", key) for key in REPORTED_CHECKS), ("reported", "unknown"), ("reported", "trial"),
        ("reported", "folder"), ("reported", "data.size"), ("reported", "seconds"), ("config", "other.unknown"),
        ("config", "status"), ("reported", "trial_id"), ("reported", "done"), ("whole", "config")]  # fmt: skip


def write_junk(folder: Path, values: Sequence[str]) -> Path:
    """Sixteen sound trials, and behind them one trial a key that holds one of the values, in turn."""
    sound = grid(model__width=(64, 128), data__size=(500, 1000, 2000, 4000), seed=(0, 1))
    for index in range(len(sound) + len(KEYS)):
        settings: dict[str, Any] = dict(sound[index] if index < len(sound) else BASE | {"seed": index})
        identity = f"abcde_{index:05d}"
        trial = folder / f"width=1_{identity}"
        trial.mkdir(parents=True)
        lines = []
        for place, row in enumerate(evaluations(settings)):
            line: dict[str, Any] = {**row, "time_total_s": row.pop("seconds"), "trial_id": identity, "done": place == 3}
            del line["seconds"]
            config = dict(settings)
            if index >= len(sound):
                kind, key = KEYS[index - len(sound)]
                if kind == "config":
                    config[key] = "@"
                else:
                    line[key] = "@"
            text = json.dumps({"config": config, **line})
            lines.append(text.replace('"@"', values[index % len(values)]))
        (trial / "result.json").write_text("\n".join(lines) + "\n")
    return folder


def commands(folder: Path, other: Path, out: Path) -> Iterator[list[str]]:
    yield ["table", str(folder)]
    yield ["table", str(folder), "--table", "factor", "--format", "csv"]
    yield ["table", str(folder), "--table", "coverage"]
    yield ["emm", str(folder), "--factor", "model.width", "--format", "json"]
    yield ["compare", str(folder), str(other), "--json"]
    yield ["importance", str(folder), "--resamples", "2"]
    yield ["predict", str(folder), "--set", "model.width=96", "--set", "data.size=1500"]
    yield ["report", str(folder), "--out", str(out / "report.html"), "--no-figures"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_junk(tmp_path_factory.mktemp("sound") / "sound", ["null"])


@pytest.mark.parametrize("first", [0, 7])
def test_junk_in_any_key_ends_in_no_traceback(
    first: int, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = list(JUNK.values())
    folder = write_junk(tmp_path / "junk", values[first:] + values[:first])
    for command in commands(folder, sound, tmp_path):
        assert main(command) in (0, 2), command
        assert capsys.readouterr().err.count("values of the wrong type") <= 2, command


def test_markup_in_texts_is_drawn_as_it_is(tmp_path: Path) -> None:
    name = json.loads(JUNK["markup"])
    data = make_table({(name, 500): 0.9, (name, 1000): 0.5, ("b", 500): 0.9, ("b", 1000): 0.7}, "data.dataset")
    drawn = [entry for entry in figures(Runs.of(data)) if isinstance(entry, Drawn)]
    pages = [inline_svg(entry.figure, "x", "") for entry in drawn]
    assert sum("&lt;b&gt;$\\frac{$&amp;" in page for page in pages) >= 3


def test_what_is_odd_is_missing_and_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_junk(tmp_path / "junk", ['"junk"'])
    assert main(["table", str(folder)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "wrong type" in line]
    assert len(said) == 1
    assert "out of range are missing (" in said[0]
