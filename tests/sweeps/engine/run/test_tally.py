"""How the trials of a run are counted."""

from types import SimpleNamespace

from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP
from sweeps.engine.run.tally import tally
from tests.sweeps.engine.run.test_artifacts import plan

CONFIG = Experiment.from_flat(LAPTOP).to_flat()
BUDGET = Experiment.from_flat(LAPTOP).total_images


def result(error=None, **metrics):
    return SimpleNamespace(error=error, metrics=metrics, config=CONFIG)


def test_every_end_is_counted_once():
    diverged = {"failure": "diverged", "cause": "diverged at 48 images", "images_seen": 48}
    found = tally(
        [
            result(images_seen=BUDGET, best_memorization_ratio=0.5),
            result(images_seen=BUDGET // 2, best_memorization_ratio=0.5),
            result(images_seen=10, stopped_early=True),
            result(**diverged),
            result(**diverged),
            result(failure="failed", cause="/a.zip: not there"),
            result(error=RuntimeError("out of memory")),
            result(),
        ],
        plan("model.width"),
    )
    assert (found.started, found.finished, found.errors, len(found.failures)) == (8, 2, 1, 3)
    assert found.ended == 6
    assert found.failure_lines() == [
        "2 of 8 trials diverged: diverged at 48 images",
        "1 of 8 trials failed: /a.zip: not there",
    ]


def test_many_causes_end_in_a_count():
    causes = [chr(ord("a") + index) for index in range(20)]
    found = tally([result(failure="failed", cause=cause) for cause in causes], plan("model.width"))
    lines = found.failure_lines()
    assert (len(lines), lines[-1]) == (6, "and 15 further causes, see result.json in the trials' folders")


def test_causes_that_differ_in_numbers_are_one():
    causes = [f"diverged at {images:,} images (learning rate 1e+30, loss 1.{images})" for images in (32, 48, 1048)]
    found = tally([result(failure="diverged", cause=cause) for cause in causes], plan("model.width"))
    assert found.failure_lines() == [f"3 of 3 trials diverged, the first: {causes[0]}"]
