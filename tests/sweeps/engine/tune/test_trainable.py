"""What ends a trial for good, and what is tried again."""

import pytest

from memo_core.errors import DivergedError, MemosweepError
from sweeps.engine.tune import trainable


@pytest.fixture
def reports(monkeypatch):
    found: list[dict] = []
    monkeypatch.setattr(trainable.tune, "report", found.append)
    return found


def failing(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(trainable, "_train", fail)


def test_a_training_that_diverges_reports_no_ratio(reports, monkeypatch):
    error = DivergedError("the loss is nan", 48, 1e30, 0.5)
    failing(monkeypatch, error)
    trainable.train_trial({})
    assert reports == [{"failure": "diverged", "cause": str(error), "images_seen": 48}]


def test_an_error_that_cannot_change_is_reported_and_not_raised(reports, monkeypatch):
    failing(monkeypatch, MemosweepError("/a.zip: not there\nand more"))
    trainable.train_trial({})
    assert reports == [{"failure": "failed", "cause": "/a.zip: not there"}]


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), OSError("disk full"), ValueError("a bug")])
def test_another_error_is_raised_for_tune_to_try_again(error, reports, monkeypatch):
    failing(monkeypatch, error)
    with pytest.raises(type(error)):
        trainable.train_trial({})
    assert not reports
