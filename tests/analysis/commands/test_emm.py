import io
import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.commands import emm as emm_command
from analysis.commands.main import main
from analysis.figures.emm import emm_by_zeta
from tests.fakes import falling, grid, write_sweep

SIZES = (500, 1000, 2000, 4000)
EMMS = {128: 1100, 256: 2300}


def two_widths():
    return [
        ({"model.width": width, "data.size": size}, falling(size, emm)) for width, emm in EMMS.items() for size in SIZES
    ]


def rows_of(capsys):
    return json.loads(capsys.readouterr().out)["rows"]


def test_the_emm_of_each_value_is_where_the_best_ratio_crosses(write_sweep, capsys):
    assert main(["emm", str(write_sweep(two_widths())), "--format", "json", "--method", "logistic"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["factor"] == "model.width"
    assert content["notes"] == []
    assert [(row["value"], row["kind"]) for row in content["rows"]] == [(128, "measured"), (256, "measured")]
    for row in content["rows"]:
        assert row["emm"] == pytest.approx(EMMS[row["value"]], rel=0.02)
        assert row["emm_low"] < EMMS[row["value"]] < row["emm_high"]
        assert row["slope"] == pytest.approx(2.9, abs=0.1)


def test_bounds_are_no_numbers_and_extrapolations_are_marked(write_sweep, capsys):
    folder = str(write_sweep([trial for trial in two_widths() if trial[0]["data.size"] >= 2000]))
    assert main(["emm", folder, "--method", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3:8] for line in lines if line.startswith("128")] == [
        ["<", "2,000", "upper", "bound", "2"],
        ["<", "2,000", "upper", "bound", "2"],
        ["~", *next(line.split()[4:8] for line in lines if "~" in line)],
    ]
    assert next(line for line in lines if "~" in line).split()[7] == "extrapolated"
    assert "extrapolated: where the fitted curve crosses 1 - zeta, beyond the sizes run" in lines
    assert any(line.startswith("upper bound: not even the smallest size run") for line in lines)
    assert main(["emm", folder, "--format", "json", "--zeta", "0.5"]) == 0
    bounds = [row for row in rows_of(capsys) if row["kind"] == "lower_bound"]
    assert {row["value"] for row in bounds} == {256}
    assert {(row["emm"], row["emm_low"], row["emm_high"]) for row in bounds} == {(4000, 4000, None)}


def test_a_value_has_one_row_and_all_methods_on_request(write_sweep, capsys):
    folder = str(write_sweep(two_widths()))
    assert main(["emm", folder, "--format", "json"]) == 0
    assert [(row["value"], row["method"]) for row in rows_of(capsys)] == [(128, "isotonic"), (256, "isotonic")]
    assert main(["emm", folder, "--format", "json", "--method", "all"]) == 0
    assert [row["method"] for row in rows_of(capsys)] == ["isotonic", "logistic"] * 2


def test_several_zeta_and_formats(write_sweep, tmp_path, capsys):
    folder, out = str(write_sweep(two_widths())), tmp_path / "emm.csv"
    options = [folder, "--zeta", "0.1", "0.2", "0.5", "--method", "isotonic"]
    assert main(["emm", *options, "--format", "csv", "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert len(table) == 6
    for _, row in table.groupby("value"):
        assert row["emm"].is_monotonic_increasing
    assert main(["emm", *options, "--format", "markdown"]) == 0
    assert "| 128 | 0.2 | 1," in capsys.readouterr().out


def test_trials_that_differ_otherwise_are_not_mixed(write_sweep, capsys):
    deep = [({**changes, "model.depth": 6}, min(1.0, 1.3 * ratio)) for changes, ratio in two_widths()]
    assert main(["emm", str(write_sweep([*two_widths(), *deep])), "--factor", "width", "--format", "json"]) == 0
    rows = rows_of(capsys)
    assert {(row["group"], row["among"]) for row in rows} == {(0, "Depth = 2"), (1, "Depth = 6")}
    assert {row["trainings"] for row in rows} == {4}
    assert main(["emm", str(write_sweep([*two_widths(), *deep], name="again"))]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["Among", "Width"]


def test_groups_that_share_a_short_title_are_told_apart(write_sweep, tmp_path, capsys, monkeypatch):
    others = ({}, {"model.depth": 6}, {"training.epochs": 20_000.0}, {"training.batch_size": 64},
              {"training.learning_rate": 1e-3})  # fmt: skip
    trials = [({**changes, **other}, ratio) for other in others for changes, ratio in two_widths()]
    drawn = []
    monkeypatch.setattr(emm_command, "emm_by_zeta", lambda data, *rest: drawn.append(data) or emm_by_zeta(data, *rest))
    folder, figure = str(write_sweep(trials)), str(tmp_path / "emm.svg")
    assert (
        main(["emm", folder, "--factor", "width", "--format", "json", "--zeta", "0.1", "0.5", "--figure", figure]) == 0
    )
    output = capsys.readouterr()
    assert f"{figure}: runs with " in output.err
    assert "not drawn: 1 further group of runs" in output.err
    rows = json.loads(output.out)["rows"]
    assert {row["group"] for row in rows} == set(range(len(others)))
    assert len({row["among"] for row in rows}) == len(others)
    assert sum("..." not in row["among"] and "Learning rate = 0.001" in row["among"] for row in rows) > 0
    assert {row["trainings"] for row in rows} == {4}
    assert [data["group"].unique().tolist() for data in drawn] == [[0], [1], [2], [3]]
    assert not any(data.duplicated(["value", "zeta"]).any() for data in drawn)
    assert {file.name for file in tmp_path.glob("*.svg")} == {"emm.svg", "emm_2.svg", "emm_3.svg", "emm_4.svg"}


def test_a_crossing_whose_interval_is_open_is_not_called_measured(write_sweep, capsys):
    # The ratio at the largest size lies so near to the target that it may be above it.
    folder = str(write_sweep([({"data.size": size}, ratio) for size, ratio in ((500, 0.99), (1000, 0.899))]))
    assert main(["emm", folder, "--format", "json", "--method", "isotonic"]) == 0
    row = rows_of(capsys)[0]
    assert (row["kind"], row["emm_high"]) == ("uncertain", None)
    assert main(["emm", folder, "--method", "isotonic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not any(line.startswith("measured") for line in lines)
    assert any(line.startswith("uncertain: ") for line in lines)


def test_values_come_in_their_order_whichever_was_run_first(write_sweep, capsys):
    assert main(["emm", str(write_sweep(two_widths()[::-1])), "--format", "json", "--method", "isotonic"]) == 0
    assert [row["value"] for row in rows_of(capsys)] == [128, 256]


def test_repeated_seeds_are_trainings_of_their_own(write_sweep, capsys):
    seeds = [
        ({**changes, key: 1}, ratio)
        for changes, ratio in two_widths()
        if changes["model.width"] == 128
        for key in ("seed", "data.seed")
    ]
    assert main(["emm", str(write_sweep([*two_widths(), *seeds])), "--format", "json", "--method", "isotonic"]) == 0
    assert [(row["value"], row["sizes"], row["trainings"]) for row in rows_of(capsys)] == [(128, 4, 12), (256, 4, 4)]


def test_where_only_the_size_moves_there_is_one_curve(write_sweep, capsys):
    trials = [({"data.size": size}, falling(size, 1500)) for size in SIZES]
    folder = str(write_sweep(trials, key="data.size"))
    assert main(["emm", folder, "--format", "json", "--method", "logistic"]) == 0
    (row,) = rows_of(capsys)
    assert row["value"] is None
    assert row["emm"] == pytest.approx(1500, rel=0.02)
    assert main(["emm", folder]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["zeta", "EMM"]


def test_sweeps_of_two_factors_ask_which(write_sweep, capsys):
    wide = write_sweep(two_widths(), name="width")
    deep = write_sweep([({"model.depth": 4, "data.size": 500}, 0.9)], key="model.depth", name="depth")
    assert main(["emm", str(wide), str(deep)]) == 2
    assert "choose one by --factor model.width | model.depth" in capsys.readouterr().err
    assert main(["emm", str(wide), str(deep), "--factor", "depth", "--format", "csv"]) == 0


def test_a_ratio_that_rises_with_the_size_is_said(write_sweep, capsys):
    trials = [({"data.size": size}, ratio) for size, ratio in ((500, 0.98), (1000, 0.7), (2000, 0.85), (4000, 0.1))]
    assert main(["emm", str(write_sweep(trials))]) == 0
    assert "128: the ratio rises with |D| somewhere, beyond noise" in capsys.readouterr().out


def test_early_stops_are_noted(write_sweep, capsys):
    folder = write_sweep(two_widths(), stopped_early=True)
    assert main(["emm", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "8 of 8 trials were stopped early far above the target, and their ratios are lower bounds" in out
    assert "the EMM may be somewhat larger" in out


def test_the_real_sweep(real_sweep, tmp_path, capsys):
    one, several = tmp_path / "one.png", tmp_path / "several.svg"
    assert main(["emm", str(real_sweep), "--figure", str(one)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Effective model memorization (EMM, in training images) by weight decay")
    assert "left out: 2 of 8 trials are unfinished" in out
    assert err == "skipped: weight_decay: 6 trials have no evaluation yet\n"
    assert main(["emm", str(real_sweep), "--zeta", "0.1", "0.5", "--figure", str(several), "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    measured = table[(table["zeta"] == 0.1) & (table["kind"] == "measured")]
    assert measured["emm"].between(10, 20).all()
    assert set(measured["value"]) == {0, 1e-5, 1e-4}
    assert one.stat().st_size > 10_000
    assert "zeta = 0.5" in several.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NOWHERE"], "does not exist"),
        (["SWEEP", "--zeta", "1.5"], "--zeta 1.5: between 0 and 1"),
        (["SWEEP", "--factor", "widht"], "did you mean width?"),
        (["SWEEP", "--factor", "zzz"], "no trial has such a setting"),
        (["SWEEP", "--figure", "emm.bmp"], "ending in .png"),
        (["SWEEP", "--figure", "/nowhere/emm.png"], "--figure /nowhere/emm.png cannot be written"),
        (["SWEEP", "--out", "/nowhere/emm.txt"], "--out /nowhere/emm.txt cannot be written"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(real_sweep, capsys, arguments, message):
    assert main(["emm", *(str(real_sweep) if word == "SWEEP" else word for word in arguments)]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("skipped")]
    assert len(error) == 1
    assert message in error[0]


def test_a_sweep_without_ratios_is_a_clear_error(write_sweep, capsys):
    assert main(["emm", str(write_sweep([({}, float("nan"))]))]) == 2
    assert "no trial has reported a memorization ratio yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "values"),
    [("data.size", (None,)), ("data.num_labels", (1, 10)), ("data.resolution", (8, 16, None))],
)
def test_values_that_have_a_line_are_not_said_to_lack_it(
    key: str, values: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = {} if key == "data.size" else {key.replace(".", "__"): values}
    trials = grid(data__labels=("random",), data__size=(500, 1000, 2000, 4000), **moved)
    sweep = write_sweep(tmp_path / "sweep", trials, factor="any", key=key, samples=False)
    assert main(["emm", str(sweep), "--factor", key, "--method", "all"]) == 0
    output = capsys.readouterr().out
    assert output.count(" logistic ") == len(values)
    assert "no logistic EMM" not in output


def test_a_value_without_a_line_is_named_and_an_unfinished_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [
        *grid(model__width=(64,), data__size=(500, 1000, 2000)),
        *grid(model__width=(128, 256), data__size=(1000,)),
    ]
    sweep = write_sweep(tmp_path / "width", trials, unfinished=(4,), samples=False)
    assert main(["emm", str(sweep), "--method", "logistic"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("no logistic EMM")]
    # Three sizes leave its slope open; 128 has a bound, and 256 has not finished.
    assert line.startswith("no logistic EMM for 64: ")
