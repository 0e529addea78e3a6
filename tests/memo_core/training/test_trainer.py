import io
import sys

import numpy as np
import pytest
import torch

from memo_core.errors import DivergedError, MemoryExhaustedError, MemosweepError
from memo_core.evaluation import evaluate_optimum
from memo_core.experiment import Experiment
from memo_core.training import Trainer
from memo_core.training.saving.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint


def run_through(trainer):
    return [evaluation.metrics for evaluation in trainer.evaluations()]


def comparable(metrics):
    return {key: value for key, value in metrics.items() if key != "images_per_second"}


def test_a_run_reports_what_it_promises(tiny_experiment):
    reports = run_through(Trainer(tiny_experiment, "cpu"))
    assert [report["images_seen"] for report in reports] == [48, 96]
    assert [report["epoch"] for report in reports] == [4.8, 9.6]
    for report in reports:
        assert set(report) == {
            "epoch", "images_seen", "loss", "memorization_ratio", "memorization_ratio_low",
            "memorization_ratio_high", "best_memorization_ratio", "knn_distance", "num_samples", "images_per_second",
            "coverage", "calibrated_distance", "calibrated_ratio",
        }  # fmt: skip
        assert report["memorization_ratio_low"] <= report["memorization_ratio"] <= report["memorization_ratio_high"]
        assert report["num_samples"] == 12


@pytest.mark.usefixtures("small_inception")
def test_fid_is_reported_at_every_evaluation_where_asked_for_and_changes_nothing_else(tiny):
    with_fid = run_through(Trainer(Experiment.from_flat({**tiny, "evaluation.fid": True}), "cpu"))
    without = run_through(Trainer(Experiment.from_flat(tiny), "cpu"))
    assert all(report.pop("fid") > 0 for report in with_fid)
    assert [comparable(report) for report in with_fid] == [comparable(report) for report in without]


def test_fid_without_its_network_fails_before_anything_is_trained(tiny, monkeypatch):
    monkeypatch.setattr("memo_core.measure.fid.find_spec", lambda name: None)
    with pytest.raises(MemosweepError, match="pip install torch-fidelity"):
        Trainer(Experiment.from_flat({**tiny, "evaluation.fid": True}), "cpu")


@pytest.mark.usefixtures("small_inception")
def test_the_optimum_reports_its_fid_too(tiny):
    settings = {**tiny, "model.architecture": "optimum", "evaluation.fid": True, "evaluation.num_samples": 100}
    evaluation = evaluate_optimum(Experiment.from_flat(settings), "cpu")
    assert evaluation.metrics["memorization_ratio"] == 1
    assert evaluation.metrics["coverage"] >= 0.8
    assert 0 <= evaluation.metrics["fid"] < 0.01


def test_equal_experiments_give_equal_results_whatever_was_drawn_before(tiny_experiment):
    first = Trainer(tiny_experiment, "cpu")
    run_through(first)
    torch.manual_seed(99)
    torch.rand(5)
    second = Trainer(tiny_experiment, "cpu")
    run_through(second)
    for one, other in zip(first.state.ema.parameters(), second.state.ema.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_leaves_the_callers_random_numbers_alone(tiny_experiment):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run_through(Trainer(tiny_experiment, "cpu"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("order", ["cyclic", "reshuffled", "replacement"])
def test_a_resumed_run_ends_with_the_same_numbers_bit_for_bit(order, tiny, tmp_path):
    experiment = Experiment.from_flat({**tiny, "training.order": order})
    whole = Trainer(experiment, "cpu")
    expected = run_through(whole)
    interrupted = Trainer(experiment, "cpu")
    next(interrupted.evaluations())
    save_checkpoint(interrupted, tmp_path)
    resumed = Trainer(experiment, "cpu")
    load_checkpoint(resumed, tmp_path)
    (last,) = run_through(resumed)
    assert comparable(last) == comparable(expected[-1])
    for name, tensor in whole.state_dict()["model"].items():
        assert torch.equal(tensor, resumed.state_dict()["model"][name]), name
    for name, tensor in whole.state_dict()["ema"].items():
        assert torch.equal(tensor, resumed.state_dict()["ema"][name]), name
    assert torch.equal(
        whole.state.optimizer.state_dict()["state"][0]["exp_avg_sq"],
        resumed.state.optimizer.state_dict()["state"][0]["exp_avg_sq"],
    )


def test_the_checkpoint_holds_the_best_samples(tiny_experiment, tmp_path):
    trainer = Trainer(tiny_experiment, "cpu")
    run_through(trainer)
    save_checkpoint(trainer, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"checkpoint.pt", "best.npz", "checkpoint.sha256"}
    again = Trainer(tiny_experiment, "cpu")
    load_checkpoint(again, tmp_path)
    assert again.best_arrays["generated"].shape == (12, 1, 8, 8)
    assert again.best_memorization_ratio == trainer.best_memorization_ratio


def test_of_evaluations_with_the_same_ratio_the_latest_leaves_its_samples(tiny_experiment):
    trainer = Trainer(tiny_experiment, "cpu")
    evaluations = list(trainer.evaluations())
    assert [evaluation.metrics["memorization_ratio"] for evaluation in evaluations] == [0, 0]
    assert not np.array_equal(evaluations[0].generated, evaluations[1].generated)
    assert np.array_equal(trainer.best_arrays["generated"], evaluations[1].arrays()["generated"])


def test_a_checkpoint_of_another_experiment_is_refused(tiny, tmp_path):
    trainer = Trainer(Experiment.from_flat(tiny), "cpu")
    next(trainer.evaluations())
    save_checkpoint(trainer, tmp_path)
    other = Trainer(Experiment.from_flat({**tiny, "training.learning_rate": 0.5}), "cpu")
    with pytest.raises(MemosweepError, match=r"training.learning_rate = 0.001, not 0.5"):
        load_checkpoint(other, tmp_path)


def test_a_longer_budget_continues_a_checkpoint(tiny, tmp_path):
    trainer = Trainer(Experiment.from_flat(tiny), "cpu")
    run_through(trainer)
    save_checkpoint(trainer, tmp_path)
    longer = Trainer(Experiment.from_flat({**tiny, "training.images": 128}), "cpu")
    load_checkpoint(longer, tmp_path)
    assert [report["images_seen"] for report in run_through(longer)] == [128]


def states_between_steps(trainer, every):
    """The rows of a training that is saved after each `every` steps, and what was saved, by images seen."""
    saved, calls = {}, iter(range(1, 1000))

    def save():
        buffer = io.BytesIO()
        assert trainer.is_between_steps
        torch.save((trainer.state_dict(), trainer.best_arrays), buffer)
        saved.setdefault(trainer.images_seen, buffer.getvalue())

    list(trainer.evaluations(save_due=lambda: next(calls) % every == 0, save=save))
    return saved


@pytest.mark.parametrize("steps_per_check", [1, 4])
def test_saves_between_evaluations_change_no_number_and_are_resumed_bit_for_bit(tiny, steps_per_check):
    def make():
        trainer = Trainer(Experiment.from_flat({**tiny, "model.dropout": 0.4}), "cpu")
        # As on a GPU, where several steps are pending.
        trainer._divergence._steps_per_check = steps_per_check
        return trainer

    whole, saving = make(), make()
    run_through(whole)
    saved = states_between_steps(saving, 1)
    assert [comparable(row) for row in saving.rows] == [comparable(row) for row in whole.rows]
    assert torch.equal(saving.state.ema_parameters.values, whole.state.ema_parameters.values)
    # 48 and 96 just before the evaluation.
    assert list(saved) == [16, 32, 48, 64, 80, 96]
    for seen, content in saved.items():
        resumed = make()
        resumed.load_state_dict(*torch.load(io.BytesIO(content), weights_only=False))
        assert (resumed.images_seen, len(resumed.rows)) == (seen, 0 if seen <= 48 else 1)
        torch.manual_seed(seen)
        run_through(resumed)
        assert [comparable(row) for row in resumed.rows] == [comparable(row) for row in whole.rows]
        assert all(row["images_per_second"] > 0 for row in resumed.rows)
        assert torch.equal(resumed.state.parameters.values, whole.state.parameters.values)
        assert torch.equal(resumed.state.ema_parameters.values, whole.state.ema_parameters.values)
        assert resumed.best_arrays.keys() == whole.best_arrays.keys()
        assert all(np.array_equal(resumed.best_arrays[name], array) for name, array in whole.best_arrays.items())


def test_steps_are_looked_at_before_they_are_saved(tiny):
    trainer = Trainer(Experiment.from_flat(tiny), "cpu")
    trainer._divergence._steps_per_check = 1000
    trainer.state.parameters.values.data[5] = float("nan")
    saved = []
    with pytest.raises(DivergedError, match="diverged at 16 images seen"):
        list(trainer.evaluations(save_due=lambda: True, save=lambda: saved.append(1)))
    assert saved == []
    assert not trainer.is_between_steps


def test_the_rows_are_the_metrics_of_all_evaluations(tiny_experiment):
    trainer = Trainer(tiny_experiment, "cpu")
    assert trainer.rows == run_through(trainer)
    assert trainer.history == [(row["images_seen"], row["memorization_ratio"], 12) for row in trainer.rows]


def test_memory_that_does_not_suffice_is_one_line(tiny_experiment, monkeypatch):
    def exhausted(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of")

    trainer = Trainer(tiny_experiment, "cpu")
    trainer._learner._take_step = exhausted
    with pytest.raises(MemoryExhaustedError, match=r"in training \(20.00 GiB more needed\): set training.micro_batch"):
        run_through(trainer)
    monkeypatch.setattr("memo_core.training.trainer.evaluate", exhausted)
    with pytest.raises(MemoryExhaustedError, match=r"in an evaluation \(20.00 GiB.*: lower evaluation.batch_size"):
        run_through(Trainer(tiny_experiment, "cpu"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_broken_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(MemosweepError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_changing_the_seed_of_the_data_leaves_initialization_and_noise(tiny):
    one = Trainer(Experiment.from_flat(tiny), "cpu")
    other = Trainer(Experiment.from_flat({**tiny, "data.seed": 1}), "cpu")
    assert not torch.equal(one.data.images, other.data.images)
    assert torch.equal(one.state.parameters.values, other.state.parameters.values)
    assert torch.equal(one._noise.get_state(), other._noise.get_state())


def test_labels_and_embeddings_leave_the_other_weights_as_they_were(tiny):
    plain = Trainer(Experiment.from_flat(tiny), "cpu").state.denoiser.state_dict()
    for change in ({"data.labels": "unique"}, {"model.time_embedding": "fourier"}, {"model.attention_resolution": 0}):
        other = Trainer(Experiment.from_flat({**tiny, **change}), "cpu").state.denoiser.state_dict()
        shared = [name for name in plain if name in other and plain[name].shape == other[name].shape]
        assert len(shared) > 50
        assert all(torch.equal(plain[name], other[name]) for name in shared)


def test_another_seed_draws_other_weights(tiny):
    one = Trainer(Experiment.from_flat(tiny), "cpu").state.parameters.values
    other = Trainer(Experiment.from_flat({**tiny, "seed": 1}), "cpu").state.parameters.values
    assert not torch.equal(one, other)


def test_the_last_evaluation_draws_all_samples_even_when_a_batch_passes_several_points(tiny):
    settings = {**tiny, "training.images": 100, "training.batch_size": 64, "evaluation.count": 10}
    trainer = Trainer(Experiment.from_flat(settings), "cpu")
    reports = [evaluation.metrics for evaluation in trainer.evaluations(next_batch=lambda _, drawn: 5 * (drawn == 0))]
    assert [(report["images_seen"], report["num_samples"]) for report in reports] == [(64, 5), (128, 12)]


def test_conditional_training_runs_with_every_kind_of_label(tiny):
    for labels in ("true", "random", "unique"):
        settings = {**tiny, "data.labels": labels, "data.num_labels": 4, "training.images": 16, "evaluation.count": 1}
        (report,) = run_through(Trainer(Experiment.from_flat(settings), "cpu"))
        assert report["loss"] > 0


@pytest.mark.parametrize("architecture", ["ddpmpp", "optimum"])
def test_a_missing_faiss_shows_before_anything_is_trained(tiny, monkeypatch, architecture):
    monkeypatch.setitem(sys.modules, "faiss", None)
    experiment = Experiment.from_flat({**tiny, "model.architecture": architecture, "evaluation.neighbors": "faiss"})
    with pytest.raises(MemosweepError, match="pip install"):
        evaluate_optimum(experiment, "cpu") if architecture == "optimum" else Trainer(experiment, "cpu")
