"""What was run is told as it was."""

import json
from pathlib import Path

import pytest

from analysis.report.headlines import tiles
from analysis.report.overview import describe
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
    shown = [tile for tile in tiles(overview, runs.best) if tile[1].endswith("hours")]
    assert shown == [("4", "GPU-hours"), ("16", "CPU-hours")]
