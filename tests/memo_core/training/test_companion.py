"""A companion ends with the numbers of a training of its own, bit for bit, through interruptions too."""

import shutil

import numpy as np
import pytest
import torch

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.training import Trainer
from memo_core.training.companion import Companion, load_with_companions
from memo_core.training.saving.checkpoints import Checkpoints, images_seen_of
from tests.conftest import TINY

SETTINGS = {**TINY, "data.size": 4, "training.images": 96, "evaluation.count": 3, "evaluation.num_samples": 4}
LEADER = Experiment.from_flat({**SETTINGS, "training.ema_decay": 0.5, "model.dropout": 0.2})
OTHERS = {
    "no average": {"training.ema_decay": 0.0},
    "another sampler": {"evaluation.sampler": "sde", "evaluation.steps": 3},
    "another threshold": {"training.ema_decay": 0.9, "evaluation.threshold": 0.9},
}


def changed(**settings):
    return Experiment.from_flat({**LEADER.to_flat(), **settings})


def without_times(content):
    rows = [{key: value for key, value in row.items() if key != "images_per_second"} for row in content["rows"]]
    tallies = [tally[:2] for tally in content["tallies"]]
    return {**{key: value for key, value in content.items() if key != "seconds"}, "rows": rows, "tallies": tallies}


def assert_equal(one, other):
    """Hold two checkpoints against each other, bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal(left, right)
    else:
        np.testing.assert_equal(one, other)


def assert_as_alone(trainer):
    alone = Trainer(trainer.experiment, "cpu")
    list(alone.evaluations())
    assert_equal(without_times(trainer.state_dict()), without_times(alone.state_dict()))
    assert trainer.best_arrays.keys() == alone.best_arrays.keys()
    for name, array in alone.best_arrays.items():
        np.testing.assert_array_equal(trainer.best_arrays[name], array)


def run_to_the_end(leader, companions):
    for companion in companions:
        companion.evaluate_if_due()
    for _ in leader.evaluations():
        for companion in companions:
            companion.evaluate_if_due()


def test_leader_and_companions_end_as_trainings_of_their_own():
    leader = Trainer(LEADER, "cpu")
    companions = [Companion(leader, changed(**settings)) for settings in OTHERS.values()]
    run_to_the_end(leader, companions)
    for trainer in (leader, *companions):
        assert_as_alone(trainer)


@pytest.mark.parametrize(
    "settings", [{"training.learning_rate": 1e-4}, {"evaluation.count": 2}, {"seed": 7}, {"training.images": 32}]
)
def test_another_training_is_no_companion(settings):
    with pytest.raises(MemosweepError, match="ema_decay"):
        Companion(Trainer(LEADER, "cpu"), changed(**settings))


class Group:
    """A leader and two companions with a folder each."""

    def __init__(self, place):
        self.experiments = [changed(**OTHERS["no average"]), changed(**OTHERS["another sampler"])]
        self.own = Checkpoints(place / "own")
        self.folders = {one: Checkpoints(place / str(number)) for number, one in enumerate(self.experiments)}

    def load(self):
        return load_with_companions(self.own, lambda: Trainer(LEADER, "cpu"), self.folders)

    def save(self, leader, companions):
        self.own.save(leader)
        for experiment, companion in companions.items():
            self.folders[experiment].save(companion)

    def train(self, evaluations, before_evaluations_of_others=False):
        leader, companions, _ = self.load()
        for companion in companions.values():
            companion.evaluate_if_due()
        for number, _ in enumerate(leader.evaluations(), 1):
            if before_evaluations_of_others:
                self.save(leader, companions)
            for companion in companions.values():
                companion.evaluate_if_due()
            if not before_evaluations_of_others:
                self.save(leader, companions)
            if number == evaluations:
                break


def damage(checkpoint):
    (checkpoint / "checkpoint.pt").write_bytes(b"damaged")


@pytest.fixture
def group(tmp_path):
    return Group(tmp_path)


@pytest.mark.parametrize("before", [False, True])
def test_all_go_on_from_their_checkpoints(before, group):
    group.train(2, before)
    leader, companions, notes = group.load()
    assert leader.images_seen == 64
    assert list(companions) == group.experiments
    assert notes == []
    run_to_the_end(leader, list(companions.values()))
    for trainer in (leader, *companions.values()):
        assert_as_alone(trainer)


def test_all_go_on_from_the_newest_position_that_they_share(group):
    group.train(2)
    late = group.folders[group.experiments[0]].paths()[0]
    shutil.rmtree(late)
    leader, companions, _ = group.load()
    assert leader.images_seen == 32
    run_to_the_end(leader, list(companions.values()))
    for trainer in (leader, *companions.values()):
        assert_as_alone(trainer)


def test_who_has_no_checkpoint_there_is_left_to_a_training_of_its_own(group):
    group.train(2)
    shutil.rmtree(group.own.paths()[0].parent)
    leader, companions, _ = group.load()
    assert leader.images_seen == 0
    assert companions == {}
    for checkpoints in group.folders.values():
        assert [images_seen_of(path) for path in checkpoints.paths()] == [64, 32]


def test_who_has_a_damaged_checkpoint_there_is_left_out_and_the_others_go_on(group):
    group.train(1)
    bad, good = group.experiments
    damage(group.folders[bad].paths()[0])
    leader, companions, _ = group.load()
    assert leader.images_seen == 32
    assert list(companions) == [good]
    run_to_the_end(leader, list(companions.values()))
    assert_as_alone(companions[good])


def test_of_damaged_checkpoints_all_take_the_ones_before(group):
    group.train(2)
    damage(group.folders[group.experiments[0]].paths()[0])
    leader, companions, _ = group.load()
    assert leader.images_seen == 32
    assert list(companions) == group.experiments


def test_a_checkpoint_of_another_network_is_left_to_a_training_of_its_own(group, monkeypatch):
    state_dict = Companion.state_dict

    def moved(self):
        content = state_dict(self)
        first = next(iter(content["model"]))
        return {**content, "model": {**content["model"], first: content["model"][first] + 1e-6}}

    with monkeypatch.context() as patch:
        patch.setattr(Companion, "state_dict", moved)
        group.train(1)
    leader, companions, _ = group.load()
    assert (leader.images_seen, companions) == (32, {})


def test_what_cannot_be_evaluated_here_is_no_companion(group, monkeypatch, tmp_path):
    monkeypatch.setattr("memo_core.training.trainer.neighbor_search", without_faiss)
    with_faiss = changed(**{"evaluation.neighbors": "faiss"})
    group.folders = {with_faiss: Checkpoints(tmp_path / "faiss"), **group.folders}
    leader, companions, _ = group.load()
    assert leader.images_seen == 0
    assert list(companions) == group.experiments


def without_faiss(kind):
    if kind == "faiss":
        raise MemosweepError("faiss is not installed")
