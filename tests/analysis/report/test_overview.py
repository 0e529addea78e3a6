"""What was run is told as it was."""

import json
from pathlib import Path

import pytest

from analysis.report.headlines import tiles
from analysis.report.overview import describe
from analysis.report.page import build
from analysis.runs.runs import Runs
from tests.fakes import SIZES, grid, write_sweep


@pytest.mark.parametrize("search", ["bisect", "optuna"])
def test_a_search_has_no_planned_number_of_trials(tmp_path: Path, search: str) -> None:
    trials = grid(model__width=(64, 128), data__size=SIZES)
    folder = write_sweep(tmp_path / "search", trials, search=search)
    manifest = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(json.dumps({**manifest, "plan": {**manifest["plan"], "trials": trials[:2]}}))
    sweep = describe(Runs.read(folder, cache=False)).sweeps[0]
    assert (sweep.planned, sweep.trials, sweep.finished) == (None, 4, 4)
    assert sweep.problems == ()


def test_hours_of_processors_and_of_accelerators_are_two_numbers(tmp_path: Path) -> None:
    trials = grid(data__size=SIZES)
    folders = [
        write_sweep(tmp_path / name, trials, resources=resources, started=name)
        for name, resources in (("a", {"cpu": 2.0}), ("b", {"cpu": 4.0, "gpu": 0.5}))
    ]
    runs = Runs.read(folders, cache=False)
    overview = describe(runs)
    assert overview.hours == {"CPU-hours": 2 * 2 * 4.0, "GPU-hours": 0.5 * 2 * 4.0}
    shown = [tile for tile in tiles(overview, runs.best) if tile[1].endswith("time")]
    assert shown == [("4 h", "of GPU time"), ("16 h", "of CPU time")]


@pytest.mark.parametrize(
    ("search", "architecture", "trainings"),
    [("grid", "ddpmpp", 2), ("optuna", "ddpmpp", 8), ("grid", "pipeline", 8)],
)
def test_a_training_that_several_trials_come_out_of_is_counted_once(
    tmp_path: Path, search: str, architecture: str, trainings: int
) -> None:
    axes = {"training__ema_decay": (0.9, 0.99), "evaluation__steps": (9, 18), "model__width": (64, 128)}
    folder = write_sweep(
        tmp_path / "sweep", grid(**axes, data__size=(500,), model__architecture=(architecture,)), search=search
    )
    runs = Runs.read(folder, cache=False)
    assert runs.num_trials == 8
    assert describe(runs).images == trainings * runs.evaluations["images_seen"].max()


def test_trainings_that_are_evaluated_at_other_times_are_several(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", grid(evaluation__count=(2, 4), data__size=(500,)))
    runs = Runs.read(folder, cache=False)
    assert describe(runs).images == 2 * runs.evaluations["images_seen"].max()


def test_provenance_stands_in_the_page(tmp_path: Path) -> None:
    digest = "0123456789abcdef" * 4
    folder = write_sweep(
        tmp_path / "sweep",
        grid(data__size=SIZES),
        workers=["3 x EPYC, 16 cores", "Xeon"],
        git_dirty=True,
        images={"/data/a<b.zip": digest},
    )
    runs = Runs.read(folder, cache=False)
    (sweep,) = describe(runs).sweeps
    assert sweep.facts["Workers"] == "3 x EPYC, 16 cores; Xeon"
    page = build(runs, resamples=2, draw=False)
    assert "<code>0123456789abcdef0123456789abcdef01234567</code> with uncommitted changes</dd>" in page
    assert (
        f'<code>/data/a&lt;b.zip</code></dt><dd>SHA-256 of the pixels <code title="{digest}">0123456789ab</code>'
        in page
    )
    assert "width.py --preset paper" in page


def test_a_clean_or_unknown_tree_is_not_called_changed(tmp_path: Path) -> None:
    for name, changes in (("clean", {"git_dirty": False}), ("unknown", {})):
        runs = Runs.read(write_sweep(tmp_path / name, grid(data__size=SIZES), **changes), cache=False)
        assert "uncommitted" not in build(runs, resamples=2, draw=False)


def test_later_starts_are_counted_with_what_was_not_as_at_the_first(tmp_path: Path) -> None:
    def shown(name: str, *starts: dict[str, object]) -> str:
        folder = write_sweep(tmp_path / name, grid(data__size=SIZES), later_starts=list(starts))
        return describe(Runs.read(folder, cache=False)).sweeps[0].facts["Started again"]

    (first,) = describe(Runs.read(write_sweep(tmp_path / "a", grid(data__size=SIZES)), cache=False)).sweeps
    assert "Started again" not in first.facts
    commit = first.facts["Git commit"]
    same = {"started": "2026-01-02", "git_commit": commit, "git_dirty": False, "versions": {}}
    assert shown("b", same) == "1 time, last 2026-01-02; the same code"
    other = same | {"started": "2026-01-03", "git_commit": "f" * 40, "versions": {"torch": "9.9"}, "git_dirty": True}
    assert shown("c", same, other) == (
        f"2 times, last 2026-01-03; then with Git commit {'f' * 40}, changes that are not committed, torch 9.9"
    )


def test_provenance_that_is_damaged_is_left_out_and_named(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", grid(data__size=SIZES), git_dirty="yes", images={"a": "b"}, workers=3)
    runs = Runs.read(folder, cache=False)
    assert (describe(runs).sweeps[0].images, describe(runs).sweeps[0].uncommitted) == ({}, False)
    assert any("workers, git_dirty, images are of the wrong type" in line for line in runs.skipped)
