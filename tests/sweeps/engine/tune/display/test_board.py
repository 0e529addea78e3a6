import time

import pytest
import ray

from sweeps.engine.tune.display import board as module
from sweeps.engine.tune.display.board import Board, Position, Positions, Reporter


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_the_speed_is_that_of_the_last_reports_and_an_evaluation_does_not_lower_it():
    clock = Clock()
    positions = Positions(clock)
    for now, images in ((0, 0), (2, 200), (4, 400), (60, 500), (62, 700)):
        clock.now = now
        positions.report("a", images)
    clock.now = 65
    assert positions.positions(["a"]) == {"a": Position(700, 100.0, 3.0)}


def test_the_first_report_has_no_speed():
    positions = Positions(Clock())
    positions.report("a", 96)
    assert positions.positions(["a"])["a"].images_per_second is None


def test_a_trial_that_starts_again_from_a_checkpoint_starts_its_speed_again():
    clock = Clock()
    positions = Positions(clock)
    for now, images in ((0, 500), (2, 900), (30, 500), (32, 520)):
        clock.now = now
        positions.report("a", images)
    assert positions.positions(["a"])["a"] == Position(520, 10.0, 0.0)


def test_trials_that_have_ended_are_forgotten():
    positions = Positions(Clock())
    positions.report("a", 1)
    positions.report("b", 1)
    assert set(positions.positions(["b", "c"])) == {"b"}
    assert set(positions.positions(["a", "b"])) == {"b"}


class Remote:
    """Stands for an actor's method."""

    def __init__(self, error=None):
        self.calls, self.error = [], error

    @property
    def report(self):
        return self

    def remote(self, *arguments):
        self.calls.append(arguments)
        if self.error is not None:
            raise self.error


def test_a_worker_reports_at_most_every_two_seconds(monkeypatch):
    clock, actor = Clock(), Remote()
    clock.now = 50.0
    monkeypatch.setattr(module.time, "monotonic", clock)
    reporter = Reporter(actor, "a")
    for images in range(10):
        reporter(images)
        clock.now += 0.5
    assert actor.calls == [("a", 0), ("a", 4), ("a", 8)]


def test_a_display_that_cannot_be_reached_fails_no_trial():
    actor = Remote(ray.exceptions.RaySystemError("gone"))
    Reporter(actor, "a")(96)
    assert actor.calls == [("a", 96)]


def test_a_board_that_was_not_started_knows_nothing():
    assert Board().positions(["a"]) == {}


@pytest.fixture
def board(cluster):
    board = Board()
    board.start()
    yield board
    board.stop()


def eventually(condition):
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.05)
    return False


@ray.remote(num_cpus=1)
def work(reporters, identity, images):
    reporters(identity)(images)


def test_the_driver_learns_what_a_worker_reported_and_outlives_the_actor(board):
    assert board.positions(["a"]) == {}
    ray.get(work.remote(board.reporters, "a", 96))
    assert eventually(lambda: board.positions(["a"]).get("a", Position(0, None, 0)).images_seen == 96)
    assert board.positions(["b"]) == {}
    # An actor that dies is started again, and knows what is reported after that.
    ray.kill(board._actor, no_restart=False)
    reporter = Reporter(board._actor, "a")

    def reported():
        reporter._next = 0.0
        reporter(192)
        return board.positions(["a"])["a"].images_seen == 192

    assert eventually(reported)
    # Even where it is gone for good, the last position stays.
    ray.kill(board._actor)
    for _ in range(5):
        Reporter(board._actor, "a")(288)
        assert board.positions(["a"])["a"].images_seen == 192
