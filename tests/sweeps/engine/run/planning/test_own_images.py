import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memo_core.calibration import Growth, Point
from memo_core.errors import MemosweepError
from memo_core.training.speed import Speed
from sweeps.class_blend import FACTOR as BLEND
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.manifest import Limits, describe_run
from sweeps.engine.plans.plan import grid_plan
from sweeps.engine.run.planning import own_images
from sweeps.engine.run.planning.own_images import instead_of_cifar10, own_images_settings, settings_of, suggest
from sweeps.num_classes import FACTOR as CLASSES
from sweeps.weight_decay import FACTOR


def folder_of(place: Path, count: int, size: tuple[int, int], mode: str = "RGB") -> str:
    place.mkdir()
    for index in range(count):
        Image.new(mode, size, index).save(place / f"{index:03d}.png")
    return str(place)


def chosen(
    dataset: str, *, given: dict[str, object] | None = None, key: str = "training.weight_decay", paper: bool = False
):
    return suggest(dataset, given or {}, key, paper, 0, print)


def measured_at(monkeypatch, images_per_second):
    monkeypatch.setattr(
        "memo_core.training.speed.measure_speed", lambda experiment, *_: Speed(images_per_second(experiment), 1.0, 32)
    )


@pytest.fixture
def fast(monkeypatch):
    """A machine on which every resolution takes a second."""
    measured_at(monkeypatch, lambda experiment: float(experiment.total_images))


@pytest.mark.parametrize(("side", "resolution"), [(8, 8), (15, 8), (28, 16), (200, 32)])
def test_the_largest_resolution_that_the_images_have_is_taken_where_it_is_fast(tmp_path, fast, side, resolution):
    found = chosen(folder_of(tmp_path / "images", 3, (side + 5, side)))
    assert found.settings["data.resolution"] == resolution
    assert f"3 images of {side + 5} x {side} pixels, in color" in found.reasons[0]


def test_a_slow_machine_takes_fewer_pixels(tmp_path, monkeypatch):
    speed = {32: 50.0, 16: 130.0, 8: 1000.0}
    measured_at(monkeypatch, lambda experiment: speed[experiment.data.resolution])
    found = chosen(folder_of(tmp_path / "images", 3, (64, 64)))
    assert found.settings["data.resolution"] == 8
    assert "5.3 min at 32, 2.1 min at 16, 0.3 min at 8" in found.reasons[1]


def test_what_the_user_gave_or_the_sweep_varies_stays(tmp_path, fast):
    dataset = folder_of(tmp_path / "images", 3, (32, 32))
    assert "data.resolution" not in chosen(dataset, given={"data.resolution": 8}).settings
    assert "data.resolution" not in chosen(dataset, key="data.resolution").settings


def test_the_papers_studies_keep_their_rate_and_budget(tmp_path):
    found = chosen(folder_of(tmp_path / "images", 3, (300, 200)), paper=True)
    assert found.settings == {"data.dataset": str(tmp_path / "images"), "data.resolution": 64}


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [(1, (32, 32), "1 image; at least 2"), (3, (6, 40), "an image has 6 pixels a side; at least 8")],
)
def test_images_that_do_not_serve_are_refused(tmp_path, count, size, message):
    with pytest.raises(MemosweepError, match=message):
        chosen(folder_of(tmp_path / "images", count, size))


def test_a_calibration_is_run_on_the_images_and_said(fast, monkeypatch, capsys):
    requested, calls = {}, []

    def calibrate(experiment, rates, seconds, on_point, device):
        calls.append("calibrate")
        requested.update(size=experiment.data.size, dataset=experiment.data.dataset, rates=rates, seconds=seconds)
        assert device == "cpu"
        on_point(5e-3, Point(7_040, 0.92, 1.0))
        return [Growth(5e-3, (Point(7_040, 0.92, 1.0),), 1.0, 7_040)]

    monkeypatch.setattr("memo_core.calibration.calibrate", calibrate)
    options = argparse.Namespace(data="digits", set=[], calibration=None, dry_run=False, gpus_per_trial=0.0)
    settings = own_images_settings(FACTOR, options, "laptop", calls.append)
    # Whether the sweep can start is found out first.
    assert calls == [{"data.dataset": "digits", "data.resolution": 8}, "calibrate"]
    assert requested == {"size": 10, "dataset": "digits", "rates": (5e-3, 1.5e-2), "seconds": 180.0}
    assert settings == [
        "data.dataset=digits", "data.resolution=8", "training.learning_rate=0.005", "training.images=15000",
    ]  # fmt: skip
    output = capsys.readouterr().out
    assert "rate 0.005: 7,040 images, ratio 92%" in output
    assert "|D| = 10 was memorized to 90% after 7,040 images" in output
    assert "--set training.images=15000" in output


def test_a_set_that_was_not_memorized_says_how_it_grew():
    points = (Point(1_000, 0.0, 9.0), Point(2_000, 0.25, 4.0), Point(3_000, 0.5, 2.0))
    budget, reason = own_images._budget(Growth(5e-3, points, 1.0, 3_000), 10, 60)
    assert budget == 6_000
    assert "the ratio went from 25% to 50%" in reason
    assert "from 4.0 to 2.0" in reason


@pytest.mark.parametrize(
    ("seconds", "seen", "said"),
    [
        (60, 3_000, "its 60 s are used up, --calibration 10min lets it go on longer; else raise --set training.images"),
        (1200, 3_000, "its 20 minutes are used up, --calibration 40min lets it"),
        (60, own_images._MOST, "too short a training: raise --set training.images"),
    ],
)
def test_a_calibration_that_ran_out_of_time_says_how_to_give_it_more(seconds, seen, said):
    growth = Growth(5e-3, (Point(1_000, 0.0, 9.0), Point(seen, 0.25, 4.0)), 1.0, seen)
    assert said in own_images._budget(growth, 10, seconds)[1]


def test_time_that_is_up_before_the_first_ratio_leaves_the_presets_rate_and_budget(fast, monkeypatch, capsys):
    monkeypatch.setattr("memo_core.calibration.calibrate", lambda *_, device: [Growth(5e-3, (), 90.0, 640)])
    options = argparse.Namespace(data="digits", set=[], calibration=None, dry_run=False, gpus_per_trial=0.0)
    assert own_images_settings(FACTOR, options, "laptop") == ["data.dataset=digits", "data.resolution=8"]
    output = capsys.readouterr().out
    assert "the preset's learning rate and budget stay: the calibration was at 640 images when its 3 minutes" in output
    assert "--calibration 10min lets it go on longer" in output


def test_a_sweep_that_could_not_start_is_refused_before_a_calibration(script, tmp_path, monkeypatch, fast):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("memo_core.calibration.calibrate", None)
    monkeypatch.setattr("memo_core.training.speed.measure_speed", lambda *_: Speed(1e6, 1.0, 32))
    images = folder_of(tmp_path / "images", 12, (16, 16))
    describe_run(grid_plan(FACTOR, Selection("laptop")), {"cpu": 1.0}, Limits()).write(str(tmp_path / "results/begun"))
    for options, message in (
        (["--values", "heavy"], "training.weight_decay"),
        (["--sizes", "13"], "12 images"),
        (["--set", "model.width=7"], "model.width"),
        (["--cpus-per-trial", "100000"], "--cpus-per-trial"),
        (["--name", "begun"], "begun exists"),
    ):
        code, _, errors = script("weight_decay", "--data", images, "--preset", "laptop", *options)
        assert (code, message in errors, len(errors.splitlines())) == (2, True, 1), errors


def test_a_dry_run_trains_nothing_and_keeps_its_output_for_the_trials(fast, monkeypatch, capsys):
    monkeypatch.setattr("memo_core.calibration.calibrate", None)
    options = argparse.Namespace(
        data="digits", set=["training.images=9"], calibration=None, dry_run=True, gpus_per_trial=None
    )
    assert own_images_settings(FACTOR, options, "laptop") == ["data.dataset=digits", "data.resolution=8"]
    assert capsys.readouterr().out == ""


def test_a_run_that_goes_on_keeps_what_was_chosen():
    settings = {"data.dataset": "digits", "training.images": 20_000, "model.width": 8}
    plan = grid_plan(FACTOR, Selection("laptop", settings=settings))
    assert settings_of(plan) == ["data.dataset=digits", "training.images=20000"]


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (CLASSES, ["data.dataset=digits"]),
        (BLEND, ["data.dataset=digits", "data.blend_dataset=digits"]),
        (FACTOR, []),
    ],
)
def test_without_cifar10_the_studies_of_classes_take_the_digits_and_say_so(factor, expected, monkeypatch, capsys):
    def missing(_):
        raise MemosweepError("cifar10 could not be downloaded")

    monkeypatch.setattr("memo_core.data.sources.open_source", missing)
    options = argparse.Namespace(set=[], data=None)
    assert instead_of_cifar10(factor, options, "laptop") == expected
    assert ("The digits take its place" in capsys.readouterr().out) == bool(expected)
    assert instead_of_cifar10(factor, options, "paper") == []
    assert instead_of_cifar10(factor, argparse.Namespace(set=["data.dataset=a.zip"]), "laptop") == []


def test_a_begun_run_keeps_its_data_set_whether_cifar10_can_be_had_or_not(monkeypatch):
    monkeypatch.setattr("memo_core.data.sources.open_source", None)
    digits = ["data.dataset=digits", "data.blend_dataset=digits"]
    options = argparse.Namespace(set=[], data=None)
    for settings, kept in (
        (dict(setting.split("=") for setting in digits), digits),
        ({}, []),
        ({"data.dataset": "cifar10"}, []),
    ):
        begun = grid_plan(BLEND, Selection("laptop", settings=settings))
        assert instead_of_cifar10(BLEND, options, "laptop", begun) == kept


def test_images_are_read_as_arrays_too(tmp_path, fast):
    np.savez(tmp_path / "set.npz", images=np.zeros((5, 1, 16, 16), np.uint8))
    found = chosen(str(tmp_path / "set.npz"))
    assert (found.settings["data.resolution"], "gray" in found.reasons[0]) == (16, True)
