import pickle

import pytest
import torch

from memo_core.errors import DivergedError
from memo_core.experiment import Experiment
from memo_core.training import Trainer
from memo_core.training.divergence import DivergenceCheck, check_finite
from memo_core.training.saving.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint

NAN, INF = float("nan"), float("inf")


def trainer_of(tiny, **changes):
    return Trainer(Experiment.from_flat({**tiny, **{k.replace("__", "."): v for k, v in changes.items()}}), "cpu")


def diverged(trainer):
    reports = []
    with pytest.raises(DivergedError) as caught:
        reports.extend(trainer.evaluations())
    assert reports == []
    return caught.value


@pytest.mark.parametrize("warmup", [0, 2])
def test_a_training_stops_at_the_first_step_that_is_broken(tiny, warmup):
    # Batches of 16, 10 images: the rate is 0 at the start of a warm-up, so that one more step is whole.
    error = diverged(trainer_of(tiny, training__learning_rate=1e30, training__warmup_epochs=warmup))
    assert error.images_seen == (32 if warmup == 0 else 48)
    assert error.learning_rate == pytest.approx(1e30)
    assert 0 < error.last_loss < 10
    assert str(error).startswith(f"diverged at {error.images_seen} images seen: ")
    assert f"learning rate 1e+30, last finite loss {error.last_loss:.3g}); lower training.learning_rate" in str(error)
    assert "\n" not in str(error)


def test_without_a_further_step_its_samples_show_it(tiny):
    error = diverged(trainer_of(tiny, training__learning_rate=1e30, training__warmup_epochs=0, training__images=16,
                                evaluation__count=1))  # fmt: skip
    assert (error.images_seen, error.found) == (16, "its samples are not finite")


def test_a_training_that_starts_broken_has_no_finite_loss(tiny):
    trainer = trainer_of(tiny)
    trainer.state.parameters.values.data[5] = NAN
    error = diverged(trainer)
    assert (error.images_seen, error.last_loss) == (16, None)
    assert str(error) == (
        "diverged at 16 images seen: the loss is nan (learning rate 0); "
        "lower training.learning_rate or raise training.warmup_epochs"
    )


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        (lambda state: state.parameters.values.data, "the parameters"),
        (lambda state: state.ema_parameters.values.data, "the averaged parameters"),
        (lambda state: state.optimizer.state[state.parameters.values]["exp_avg_sq"], "Adam's second moments"),
    ],
)
def test_every_part_of_the_state_is_looked_at(tiny, tensor, name, value, tmp_path):
    trainer = trainer_of(tiny)
    next(trainer.evaluations())
    save_checkpoint(trainer, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    check_finite(trainer.state, trainer.images_seen)
    tensor(trainer.state)[7] = value
    with pytest.raises(DivergedError, match=f"diverged at 48 images seen: {name} are not finite"):
        check_finite(trainer.state, trainer.images_seen)
    with pytest.raises(DivergedError, match=name):
        DivergenceCheck(trainer.state, 64).after_step(64, 1e-3, torch.tensor(1.0))
    with pytest.raises(DivergedError, match=name):
        save_checkpoint(trainer, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_broken_checkpoint_is_not_continued(tiny, tmp_path):
    trainer = trainer_of(tiny)
    list(trainer.evaluations())
    save_checkpoint(trainer, tmp_path)
    content = read_checkpoint(tmp_path / "checkpoint.pt")
    next(iter(content["ema"].values())).fill_(NAN)
    torch.save(content, tmp_path / "checkpoint.pt")
    (tmp_path / "checkpoint.sha256").unlink()
    with pytest.raises(DivergedError, match="diverged at 96 images seen: the averaged parameters are not finite"):
        load_checkpoint(trainer_of(tiny), tmp_path)


@pytest.mark.parametrize("steps_per_check", [1, 3, 50])
@pytest.mark.parametrize("broken_step", [0, 2, 5])
def test_the_first_broken_step_is_named_however_seldom_one_looks(tiny, steps_per_check, broken_step):
    check = DivergenceCheck(trainer_of(tiny).state, 64, steps_per_check)
    with pytest.raises(DivergedError) as caught:
        for step in range(8):
            loss = torch.tensor(INF if step == broken_step else 64.0 * (step + 1))
            check.after_step(16 * (step + 1), 0.1 * (step + 1), loss)
        check.look()
    error = caught.value
    assert error.images_seen == 16 * (broken_step + 1)
    assert error.learning_rate == pytest.approx(0.1 * (broken_step + 1))
    assert error.last_loss == (None if broken_step == 0 else broken_step)
    assert error.found == "the loss is inf"


def test_an_earlier_evaluation_stays_valid(tiny):
    trainer = trainer_of(tiny)
    evaluations = trainer.evaluations()
    assert next(evaluations).metrics["images_seen"] == 48
    trainer.state.parameters.values.data.fill_(INF)
    with pytest.raises(DivergedError, match="diverged at 64 images seen"):
        next(evaluations)
    assert [seen for seen, _, _ in trainer.history] == [48]


def test_the_error_survives_the_way_between_processes():
    error = DivergedError("the loss is nan", 1024, 1e30, 0.98)
    other = pickle.loads(pickle.dumps(error))
    assert (other.images_seen, other.learning_rate, other.last_loss) == (1024, 1e30, 0.98)
    assert (
        str(other)
        == str(error)
        == (
            "diverged at 1,024 images seen: the loss is nan (learning rate 1e+30, last finite loss 0.98); "
            "lower training.learning_rate or raise training.warmup_epochs"
        )
    )
