"""Several processes train as one does: real trainers in two processes, over gloo on the CPU."""

import multiprocessing
import socket

import numpy as np
import pytest
import torch

from memo_core.errors import DivergedError
from memo_core.experiment import Experiment
from memo_core.training import Trainer
from memo_core.training.saving.checkpoint import load_checkpoint, save_checkpoint
from memo_core.training.steps.distributed import interface_of, joined

CPU = "cpu"
TINY = {
    "data.size": 10,
    "data.labels": "true",
    "model.preconditioning": "edm",
    "model.width": 8,
    "model.depth": 1,
    "model.dropout": 0.0,
    "model.channel_multipliers": [1, 1],
    "training.images": 90,
    "training.batch_size": 15,
    "training.learning_rate": 1e-3,
    "training.warmup_epochs": 2,
    "training.weight_decay": 0.01,
    "evaluation.count": 2,
    "evaluation.num_samples": 12,
    "evaluation.steps": 3,
}


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def follow(requests):
    """Be rank 1 of one training after the other: the second process."""
    torch.set_num_threads(1)
    for address, settings in iter(requests.get, None):
        with joined(address, 1, 2) as ranks:
            trainer = Trainer(Experiment.from_flat(settings), CPU, ranks=ranks)
            trainer.share_state()
            try:
                trainer.follow()
            except DivergedError as error:
                ranks.gather(str(error))
            else:
                ranks.gather(trainer.state.parameters.values.detach().clone())


@pytest.fixture(scope="module")
def second_process():
    context = multiprocessing.get_context("spawn")
    requests = context.Queue()
    process = context.Process(target=follow, args=(requests,), daemon=True)
    process.start()
    yield requests
    requests.put(None)
    process.join(60)
    process.kill()


def run(trainer, next_batch=None):
    return [evaluation.metrics for evaluation in trainer.evaluations(next_batch=next_batch)]


@pytest.fixture
def together(second_process):
    """Train in two processes; returns rank 0's trainer, its rows, and what rank 1 has at the end."""

    def train(settings, folder=None, next_batch=None):
        address = free_address()
        second_process.put((address, settings))
        with joined(address, 0, 2) as ranks:
            trainer = Trainer(Experiment.from_flat(settings), CPU, ranks=ranks)
            if folder is not None:
                load_checkpoint(trainer, folder)
            trainer.share_state()
            try:
                rows = run(trainer, next_batch)
            except DivergedError as error:
                return trainer, str(error), ranks.gather(None)[1]
            return trainer, rows, ranks.gather(None)[1]

    return train


def assert_equal_but_for_rounding(rows, expected):
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        for name in set(wanted) - {"images_per_second"}:
            assert row[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-6), name


def assert_same_weights(trainer, other):
    start = Trainer(trainer.experiment, CPU).state.parameters.values.detach()
    for kind in ("parameters", "ema_parameters"):
        ours, theirs = (getattr(one.state, kind).values.detach() for one in (trainer, other))
        off = (ours - theirs).abs()
        # Some biases have a gradient of rounding noise alone, of which Adam makes whole steps.
        assert (off > 2e-5).double().mean() < 2e-3
        assert off.norm() < 1e-2 * (theirs - start).norm()


def test_two_ranks_give_the_numbers_of_one(together):
    alone = Trainer(Experiment.from_flat(TINY), CPU)
    expected = run(alone)
    trainer, rows, other = together(TINY)
    assert_equal_but_for_rounding(rows, expected)
    assert_same_weights(trainer, alone)
    # All ranks take the very same steps.
    assert torch.equal(other, trainer.state.parameters.values.detach())
    for name, array in trainer.best_arrays.items():
        ours = array.astype(float)
        np.testing.assert_allclose(ours, alone.best_arrays[name].astype(float), atol=1.01, err_msg=name)


def test_parts_in_memory_give_the_numbers_of_the_whole_batch(together):
    alone = Trainer(Experiment.from_flat(TINY), CPU)
    expected = run(alone)
    settings = {**TINY, "training.micro_batch_size": 4}
    accumulated = Trainer(Experiment.from_flat(settings), CPU)
    assert_equal_but_for_rounding(run(accumulated), expected)
    assert_same_weights(accumulated, alone)
    trainer, rows, _ = together(settings)
    assert_equal_but_for_rounding(rows, expected)
    assert_same_weights(trainer, alone)


def test_a_checkpoint_goes_on_with_another_number_of_ranks(together, tmp_path):
    alone = Trainer(Experiment.from_flat(TINY), CPU)
    reports = alone.evaluations()
    next(reports)
    save_checkpoint(alone, tmp_path)
    next(reports)
    trainer, _, other = together(TINY, tmp_path)
    assert_equal_but_for_rounding(trainer.rows, alone.rows)
    assert_same_weights(trainer, alone)
    assert torch.equal(other, trainer.state.parameters.values.detach())


def test_samples_in_several_looks_are_shared_too(together):
    def next_batch(memorized, drawn):
        return 5 if drawn < 10 else 0

    alone = Trainer(Experiment.from_flat(TINY), CPU)
    expected = run(alone, next_batch)
    _, rows, _ = together(TINY, next_batch=next_batch)
    assert [row["num_samples"] for row in rows] == [10, 12]
    assert_equal_but_for_rounding(rows, expected)


def test_with_dropout_ranks_draw_their_own(together):
    settings = {**TINY, "model.dropout": 0.3}
    trainer, _, other = together(settings)
    again, _, _ = together(settings)
    assert torch.equal(other, trainer.state.parameters.values.detach())
    assert torch.equal(again.state.parameters.values, trainer.state.parameters.values)


def test_a_batch_of_one_image_leaves_the_other_rank_without_any(together):
    settings = {**TINY, "training.batch_size": 1, "training.images": 4, "evaluation.count": 1}
    alone = Trainer(Experiment.from_flat(settings), CPU)
    expected = run(alone)
    trainer, rows, _ = together(settings)
    assert_equal_but_for_rounding(rows, expected)
    assert_same_weights(trainer, alone)


def test_all_ranks_find_the_step_at_which_a_training_diverges(together):
    settings = {**TINY, "training.learning_rate": 1e30, "training.warmup_epochs": 0}
    _, error, other = together(settings)
    assert error == other
    assert error.startswith("diverged at ")


def test_the_interface_of_an_address_is_found():
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("192.0.2.1") is None
