import shutil

import pytest
import torch

from memo_core.data import load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP
from memo_core.training.steps.mode import StepMode

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    return load_training_set(Experiment.from_flat(LAPTOP).data)


@pytest.fixture
def with_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def mode_of(data, precision="float32", device=CPU, **settings):
    experiment = Experiment.from_flat({**LAPTOP, **{key.replace("__", "."): settings[key] for key in settings}})
    return StepMode.of(precision, experiment, data, device).compile


@pytest.mark.usefixtures("with_compiler")
def test_a_cpu_compiles_where_the_budget_pays_for_it(data):
    assert mode_of(data) == "none"
    assert mode_of(data, training__images=10_000_000) == "full"


@pytest.mark.usefixtures("with_compiler")
def test_the_larger_the_network_and_the_saving_the_smaller_is_the_budget_that_pays(data):
    images = 600_000
    assert mode_of(data, training__images=images) == "none"
    assert mode_of(data, training__images=images, model__width=64) == "full"
    assert mode_of(data, "bfloat16", training__images=images, model__width=32) == "full"


def test_without_a_compiler_nothing_is_compiled(data, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert mode_of(data, training__images=10**9) == "none"


@pytest.mark.usefixtures("with_compiler")
def test_what_is_asked_for_is_done_whatever_pays(data):
    assert mode_of(data, training__compile="full") == "full"
    assert mode_of(data, training__compile="none", training__images=10**9) == "none"
    assert mode_of(data, device=torch.device("cuda")) == "auto"


def test_a_checkpoint_holds_the_mode():
    experiment = Experiment.from_flat({**LAPTOP, "training.precision": "auto"}).to_flat()
    mode = StepMode("bfloat16", "full")
    assert StepMode.from_checkpoint({"experiment": experiment, "step_mode": mode.to_dict()}, CPU) == mode


def test_checkpoints_of_before_went_operation_by_operation_on_a_cpu():
    content = {"experiment": Experiment.from_flat({**LAPTOP, "training.precision": "bfloat16"}).to_flat()}
    assert StepMode.from_checkpoint(content, CPU) == StepMode("bfloat16", "none")
    assert StepMode.from_checkpoint(content, "cuda") == StepMode("bfloat16", "auto")


@pytest.mark.parametrize(
    "stored",
    ["bfloat16", {"precision": "bfloat16"}, {"precision": "float8", "compile": "none"},
     {"precision": "tf32", "compile": "fast"}, {"precision": ["tf32"], "compile": "none"}],
)  # fmt: skip
def test_a_damaged_mode_is_refused(stored):
    content = {"experiment": Experiment.from_flat(LAPTOP).to_flat(), "step_mode": stored}
    with pytest.raises(MemosweepError, match="step_mode"):
        StepMode.from_checkpoint(content, CPU)
