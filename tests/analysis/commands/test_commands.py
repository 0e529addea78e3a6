from pathlib import Path

import pytest

from analysis.command_line import main


def test_table_prints_best_ratios_by_what_moves(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(sweep)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[1].split() == ["Weight", "decay", "|D|", "=", "10", "|D|", "=", "20"]
    assert lines[3].split() == ["0", "95.70", "55.86"]
    # Half-trained trials would pass for a low ratio.
    assert "6 trials (6 terminated), 96,000 training images" in lines[-1]
    assert "left out: 2 unfinished trials" in err
    assert "skipped: weight_decay: 6 trials have no evaluation yet\n" in err


def test_table_factor_has_intervals_and_the_epoch_of_the_best(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(sweep), "--table", "factor", "--format", "csv"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1] == "10,0,95.70,92.47,97.58,1,1600"


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


def test_an_unknown_command_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["tabel"])
    assert caught.value.code == 2
    assert "table" in capsys.readouterr().err
