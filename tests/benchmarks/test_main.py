"""`python -m benchmarks` from the command line to its files, on the smallest networks."""

import json

import pytest

from benchmarks import __main__ as command
from benchmarks.speed.machine import Size, Sizes
from memo_core.experiment import ModelConfig

SIZE = Size(ModelConfig(width=4, depth=1, dropout=0.0, preconditioning="edm", channel_multipliers=(1, 1)), 4, 1, 2)
TINY = Sizes(
    steps=(SIZE,),
    sampling=(SIZE,),
    neighbors=(60, 120, 1, 4),
    growth=SIZE,
    widths=(4, 8),
    depths=(1, 2),
    resolutions=(4, 8),
    sharing=SIZE,
    matrix=64,
    preset="laptop",
    trial={"training.images": 64, "model.width": 4, "evaluation.num_samples": 2, "evaluation.steps": 2},
    sweep={"training.images": 32},
    sweep_values=(0.0,),
    sharing_counts=(1, 2),
    sharing_seconds=0.2,
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{command._BEGIN}\nold\n{command._END}\nafter\n")
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(command, "results_file", lambda has_gpu: tmp_path / "speed.json")
    return page, tmp_path / "speed.json"


def run(*arguments):
    return command.main([*arguments, "--device", "cpu", "--repeats", "1"], TINY, turn_seconds=0.0)


# Of numpy, in a scheduler of diffusers.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_parts_are_shown_and_written_beside_those_of_earlier_runs(files, capsys):
    page, file = files
    assert run("--write", "--only", "step", "neighbors") == 0
    assert run("--write", "--only", "growth", "sampling") == 0
    shown = capsys.readouterr().out
    assert "published loop, float32" in shown and "cdist + topk" in shown and "time grows as width^" in shown
    report = json.loads(file.read_text())
    assert list(report["parts"]) == ["step", "sampling", "neighbors", "growth"]
    step = {row["name"]: row for row in report["parts"]["step"]["rows"]}
    assert step["ours, float32"]["ratio"]["median"] == 1.0
    published = step["published loop, float32"]
    assert published["seconds"]["median"] / step["ours, float32"]["seconds"]["median"] == pytest.approx(
        published["ratio"]["median"]
    )
    assert published["share_of_peak"]["median"] > 0
    text = page.read_text()
    assert text.startswith(f"before\n{command._BEGIN}\n") and text.endswith(f"\n{command._END}\nafter\n")
    assert "| published loop, float32 | " in text and "old" not in text


def test_without_diffusers_its_row_says_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.networks.has_diffusers", lambda: False)
    assert run("--json", "--only", "step") == 0
    rows = json.loads(capsys.readouterr().out)["parts"]["step"]["rows"]
    (row,) = [row for row in rows if "diffusers" in row["name"]]
    assert row["seconds"] is None and row["note"] == "diffusers is not installed: pip install diffusers"


def test_trials_side_by_side_are_processes(capsys):
    assert run("--json", "--only", "sharing") == 0
    rows = json.loads(capsys.readouterr().out)["parts"]["sharing"]["rows"]
    assert [row["name"] for row in rows] == ["1 at once", "2 at once"]
    assert all(row["numbers"]["images_per_second_together"] > 0 for row in rows)


@pytest.mark.ray
def test_a_trial_and_a_sweep_are_run(capsys):
    assert run("--json", "--only", "trial") == 0
    rows = json.loads(capsys.readouterr().out)["parts"]["trial"]["rows"]
    names = [row["name"] for row in rows]
    assert {"whole trial", "training", "sampling", "search", "checkpoints", "whole sweep", "Ray, start and end"} <= {
        *names
    }
    trial = [row for row in rows if row["group"] == rows[0]["group"]]
    assert sum(row["ratio"]["median"] for row in trial[1:]) == pytest.approx(1.0)


def test_a_part_that_fails_leaves_the_others(capsys, monkeypatch):
    def fails(machine, sizes):
        raise OSError("no room")

    measures = command._measures()
    monkeypatch.setattr(command, "_measures", lambda: {**measures, "step": fails})
    assert run("--json", "--only", "step", "neighbors") == 1
    printed = capsys.readouterr()
    assert list(json.loads(printed.out)["parts"]) == ["neighbors"]
    assert "step: OSError: no room" in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--repeats", "0"), "--repeats 0: at least 1"),
        (("--threads", "-1"), "--threads -1: at least 1"),
        (("--device", "tpu"), "--device tpu"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(capsys, arguments, message):
    assert command.main([*arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1


def test_a_misspelled_part_is_named_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--only", "steps"])
    assert stopped.value.code == 2
    assert "did you mean" in capsys.readouterr().err
