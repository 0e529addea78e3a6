import json
import shutil
from pathlib import Path

import pytest

from analysis.commands import COMMANDS
from analysis.commands.main import main


def test_table_prints_best_ratios_by_what_moves(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(sweep)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[1].split() == ["Weight", "decay", "|D|", "=", "10", "|D|", "=", "20"]
    assert lines[3].split() == ["0", "95.70", "55.86"]
    # Half-trained trials would pass for a low ratio; what they cost counts.
    assert "6 of 8 trials finished (2 interrupted, 6 terminated), 112,000 training images" in lines[-1]
    assert "left out: 2 of 8 trials are unfinished" in err
    assert "skipped: weight_decay: 6 trials have no evaluation yet\n" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert "usage: python -m analysis" in capsys.readouterr().out


def test_table_marks_lower_bounds(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(sweep.glob("size=10,weight_decay=0_ec31f_*/result.json"))
    *others, last = file.read_text().splitlines()
    file.write_text("\n".join([*others, json.dumps({"stopped_early": True, **json.loads(last)})]) + "\n")
    assert main(["table", str(sweep)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[3].split()[:2] == ["0", ">=95.70"]
    assert "note: 1 of 8 trials were stopped early far above the target" in err
    assert main(["table", str(sweep), "--table", "2"]) == 0
    assert ">=95.70" in capsys.readouterr().out
    assert main(["table", str(sweep), "--table", "factor", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(",")[2:4] == ["Ratio (%)", "Ratio (%) mark"]
    assert lines[1] == "10,0,95.703125,>=,92.47089445,,samples,1,1600"


def test_report_and_importance_say_what_they_leave_out(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["report", str(sweep), "--no-figures", "--out", str(tmp_path / "x.html")],
        ["importance", str(sweep)],
    ):
        main(arguments)
        assert "left out: 2 of 8 trials are unfinished" in capsys.readouterr().err


def test_table_factor_has_intervals_and_the_epoch_of_the_best(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(sweep), "--table", "factor", "--format", "csv"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1] == "10,0,95.703125,92.47089445,97.58401867,samples,1,1600"


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("trials", "Trial,Status,Ratio (%)"),
        ("effects", "Setting,From,To"),
        ("findings", "Finding,Where,Verdict"),
        ("coverage", "Trial"),
        ("time", "Setting,|D|,Slope"),
    ],
)
def test_the_tables_of_a_report_are_printed_too(
    name: str, heading: str, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(sweep), "--table", name, "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith(heading)


def test_findings_that_no_run_can_test_are_counted_unless_all_are_requested(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(sweep), "--table", "findings"]) == 0
    short = capsys.readouterr().out
    assert main(["table", str(sweep), "--table", "findings", "--all"]) == 0
    whole = capsys.readouterr().out
    assert "further findings that these runs cannot test: --all lists" in short
    assert "width_monotonic" not in short
    assert "width_monotonic" in whole
    assert "further findings" not in whole
    assert main(["table", str(sweep), "--all"]) == 2
    assert "--all belongs to --table findings" in capsys.readouterr().err


def test_table_writes_a_paper_table_into_a_file(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "table2.tex"
    assert main(["table", str(sweep), "--table", "2", "--format", "latex", "--out", str(out)]) == 0
    assert r"\begin{tabular}" in out.read_text()


def test_figures_writes_every_figure_and_names_it(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path / "out"), "--format", "svg", "--metric", "knn_distance"]
    assert main(["figures", str(sweep), *options]) == 0
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"knn_distance_over_weight_decay.svg", "knn_distance_over_size_by_weight_decay.svg"} <= written
    assert "knn_distance_over_weight_decay.svg: Over Weight decay" in capsys.readouterr().out


def test_figures_of_a_metric_that_nobody_reports_is_an_error(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figures", str(sweep), "--out", str(tmp_path), "--metric", "fid"]) == 2
    out, err = capsys.readouterr()
    assert "no run reports fid" in out
    assert err.splitlines()[-1].startswith("python -m analysis figures: no figure could be drawn")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table", "NOWHERE"], "does not exist"),
        (["table", "SWEEP", "--out", "NOWHERE/x.txt"], "--out"),
        (["figures", "SWEEP", "--out", "OUT", "--zeta", "2"], "--zeta 2"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    names = {"SWEEP": str(sweep), "OUT": str(tmp_path / "out")}
    given = [names.get(argument, argument).replace("NOWHERE", str(tmp_path / "nowhere")) for argument in arguments]
    assert main(given) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert message in last


@pytest.mark.parametrize("command", ["table", "report", "emm", "figures", "importance"])
def test_where_no_ratio_is_a_number_every_command_exits_with_2(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for file in sweep.glob("size=*/result.json"):
        lines = [{**json.loads(line), "memorization_ratio": float("nan")} for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = {"report": ["--out", str(tmp_path / "x.html")], "figures": ["--out", str(tmp_path / "figures")]}
    assert main([command, str(sweep), *out.get(command, [])]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "no trial has reported a memorization ratio yet" in last
    assert not (tmp_path / "x.html").exists()


def test_an_unknown_command_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["tabel"])
    assert caught.value.code == 2
    assert "table" in capsys.readouterr().err


def test_compare_refuses_one_folder_given_twice(
    sweep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sweep.parent)
    assert main(["compare", str(sweep), f"./{sweep.name}/"]) == 2
    assert "are the same folder" in capsys.readouterr().err
    assert main(["compare", str(sweep), f"file://{sweep}"]) == 2


def test_compare_of_a_copy_says_that_it_is_the_same_training(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(sweep, tmp_path / "copy")
    assert main(["compare", str(sweep), str(tmp_path / "copy")]) == 0
    out = capsys.readouterr().out
    assert out.count("no: the same training") == 6
    assert "All of them are the same training on both sides" in out
