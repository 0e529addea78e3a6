"""The benchmark's command line on anybody's curves."""

import json

import numpy as np
import pytest
from scipy import special

from benchmarks.curves import Curve, from_function, published, read_curves, unfriendly
from benchmarks.emm_cost import main, measure_curve
from benchmarks.replay import plain_bisection, replay
from benchmarks.suites import early_stops
from benchmarks.trainings import GROWTHS, Noise

KEYS = {"emm_true", "median_error", "coverage", "mean_trainings", "cost_in_emms", "bisection_cost_in_emms"}


def write(path, curves, header="curve,size,ratio"):
    rows = [header]
    for name, formula in curves.items():
        rows += [f"{name},{n:.0f},{formula(n):.6f}" for n in np.geomspace(100, 20_000, 60).round()]
    path.write_text("\n".join(rows) + "\n")
    return str(path)


@pytest.fixture
def curves(tmp_path):
    formulas = {
        "line": lambda n: special.expit(special.logit(0.9) - 3 * np.log(n / 1100)),
        "cliff": lambda n: 0.99 if n < 3000 else 0.0,
        "never": lambda n: 0.5,
        "always": lambda n: 0.99,
    }
    return write(tmp_path / "curves.csv", formulas)


def run(*arguments):
    return main([str(a) for a in arguments])


def test_it_prints_one_json_object_with_the_promised_keys(curves, capsys):
    assert run("--curves", curves, "--target", 0.9, "--tolerance", 0.1, "--replays", 10, "--json") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert list(result) == ["line", "cliff", "never", "always"] and printed.err == ""
    assert all(set(row) == KEYS for row in result.values())
    line, cliff = result["line"], result["cliff"]
    assert line["emm_true"] == pytest.approx(1100, rel=0.01)
    assert line["median_error"] < 0.1 and line["coverage"] >= 0.8
    assert line["cost_in_emms"] <= 2.5 < line["bisection_cost_in_emms"]
    assert cliff["cost_in_emms"] <= 2 * cliff["bisection_cost_in_emms"]
    for name in ("never", "always"):
        assert result[name]["emm_true"] is None and result[name]["median_error"] is None
        assert result[name]["coverage"] == 1


def test_equal_commands_give_equal_results(curves, capsys):
    for _ in range(2):
        assert run("--curves", curves, "--replays", 3, "--json") == 0
    first, second = capsys.readouterr().out.split("}\n}\n")[:2]
    assert first == second


def test_without_json_it_prints_a_table(curves, capsys):
    assert run("--curves", curves, "--replays", 2) == 0
    assert "| line |" in capsys.readouterr().out


def test_a_tighter_tolerance_costs_more(curves):
    (line, *_) = read_curves(curves)
    loose, tight = (
        measure_curve(line, 0.9, t, 30, np.random.default_rng(0), noise=Noise(seed_spread=0.03)) for t in (0.2, 0.04)
    )
    assert tight["cost_in_emms"] > loose["cost_in_emms"]
    assert tight["mean_trainings"] > loose["mean_trainings"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("curve,size\na,100\n", "lacks the column(s) ratio"),
        ("curve,size,ratio\na,many,0.5\na,200,0.5\n", "'many' is no number"),
        ("curve,size,ratio\na,100,nan\na,200,0.5\n", "'nan' is no number"),
        ("curve,size,ratio\na,100,\na,200,0.5\n", "'' is no number"),
        ("curve,size,ratio\na,100,92.1\na,200,0.5\n", "ratio 92.1"),
        ("curve,size,ratio\na,100,-0.1\na,200,0.5\n", "ratio -0.1"),
        ("curve,size,ratio\na,0,0.9\na,200,0.5\n", "size 0"),
        ("curve,size,ratio\na,inf,0.9\na,200,0.5\n", "'inf' is no number"),
        ("curve,size,ratio\na,100,0.9\na,100,0.5\n", "size 100 twice"),
        ("curve,size,ratio\na,100,0.9\n", "has one size"),
        ("curve,size,ratio\n", "holds no rows"),
        ("curve,size,ratio\na,100,0.9\na,1e19,0.5\n", "size 1e+19"),
        ("curve,size,ratio,size\na,100,0.9,1\na,200,0.5,2\n", "column size twice"),
        ("curve,size,ratio\n ,100,0.9\n ,200,0.5\n", "has no name"),
        ("", "cannot read"),
    ],
)
def test_a_bad_file_is_one_clear_line_and_exit_code_2(tmp_path, capsys, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert run("--curves", path, "--json") == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", 1), "target 1.0"),
        (("--target", 0), "target 0.0"),
        (("--target", "nan"), "target nan"),
        (("--tolerance", 0), "tolerance 0.0"),
        (("--tolerance", -1), "tolerance -1.0"),
        (("--replays", 0), "replays 0"),
        (("--min-size", 5000, "--max-size", 200), "min size 5000 is above max size 200"),
        (("--max-size", 60_000), "max size 60000 lies outside"),
        (("--seed-spread", -1), "seed spread"),
    ],
)
def test_bad_settings_are_one_clear_line_and_exit_code_2(curves, capsys, arguments, message):
    assert run("--curves", curves, *arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1


def test_an_unknown_file_and_a_word_for_a_number_exit_with_2(capsys):
    assert run("--curves", "no/such/file.csv") == 2
    assert "no/such/file.csv" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        run("--target", "high")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_spaces_around_names_and_cells_do_not_matter(tmp_path, capsys):
    path = tmp_path / "spaces.csv"
    path.write_text("curve, size, ratio\na, 100, 0.99\n a, 1000, 0.9\na , 5000, 0.1\n")
    assert run("--curves", path, "--replays", 1, "--json") == 0
    assert list(json.loads(capsys.readouterr().out)) == ["a"]


def test_limits_of_the_suites_are_not_silently_ignored(capsys):
    assert run("--max-size", 5000) == 2
    assert "goes with --curves" in capsys.readouterr().err


def test_limits_cut_the_curve(curves, capsys):
    assert run("--curves", curves, "--replays", 3, "--max-size", 500, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["line"]["emm_true"] is None and result["line"]["coverage"] == 1


def test_the_true_emm_is_the_last_size_that_reaches_the_target():
    bumpy = Curve("bumpy", np.array([100.0, 200, 400, 800]), np.array([0.95, 0.8, 0.95, 0.1]))
    assert bumpy.emm(0.9, 100, 800) == pytest.approx(400 * 2 ** (0.05 / 0.85))
    assert bumpy.emm(0.99, 100, 800) is None


def test_published_and_unfriendly_curves_are_ratios():
    names = [c.name for c in published()]
    assert "labels=none" in names and "weight_decay=0.05" in names
    for curve in [*published(), *unfriendly().values()]:
        assert np.all((curve.ratios >= 0) & (curve.ratios <= 1))
    none = next(c for c in published() if c.name == "labels=none")
    assert none.ratio(2000) == pytest.approx(0.6093, abs=0.002)


@pytest.mark.parametrize("name", list(unfriendly()))
def test_unfriendly_curves_end_and_cost_at_most_twice_plain_bisection(name):
    rng = np.random.default_rng(0)
    curve = unfriendly()[name]
    ours = [replay(curve, 0.9, 0.1, rng).estimate.images_trained for _ in range(8)]
    plain = [plain_bisection(curve, 0.9, 0.1, rng)[0] for _ in range(8)]
    assert np.mean(ours) <= 2 * np.mean(plain)


@pytest.mark.parametrize("growth", GROWTHS)
def test_early_stops_are_never_wrong_however_the_ratio_grows(growth):
    row = early_stops(growth, 0.9, 150, np.random.default_rng(0))
    assert row["stopped_early"] > 0.02, "a rule that never stops is never wrong either"
    assert row["false_stop_rate"] == 0


def test_a_cliff_to_just_below_the_target_is_found_and_not_interpolated_over():
    curve = from_function("cliff", lambda n: np.where(n < 3000, 1.0, 0.85), 100, 50_000)
    row = measure_curve(curve, 0.9, 0.1, 10, np.random.default_rng(0))
    assert row["coverage"] == 1.0
