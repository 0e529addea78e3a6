import shutil

import pytest
import torch

from memo_core.data import load_training_set
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP
from memo_core.training.steps.mode import StepMode, compiles_otherwise

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


def stored(mode, **settings):
    return {"experiment": Experiment.from_flat({**LAPTOP, **settings}).to_flat(), "step_mode": mode}


def continued(data, content, device=CPU, **settings):
    return StepMode.continued(content, Experiment.from_flat({**LAPTOP, **settings}), data, device)


def test_a_training_goes_on_as_it_began(data):
    mode = StepMode("bfloat16", "full", "cpu")
    assert continued(data, stored(mode.to_dict()), **{"training.precision": "auto"}) == mode
    assert StepMode.stored(stored(mode.to_dict())) == mode


def test_on_another_kind_of_device_it_is_compiled_as_there(data):
    gpu = torch.device("cuda")
    from_cpu, from_gpu = (
        StepMode("bfloat16", mode, kind).to_dict() for mode, kind in (("none", "cpu"), ("auto", "cuda"))
    )
    assert continued(data, stored(from_cpu), gpu) == StepMode("bfloat16", "auto", "cuda")
    assert continued(data, stored(from_gpu)) == StepMode("bfloat16", "none", "cpu")
    named = {"training.compile": "full"}
    assert continued(data, stored({**from_cpu, "compile": "full"}, **named), gpu, **named).compile == "full"


def test_checkpoints_of_before_went_operation_by_operation_on_a_cpu(data):
    named = {"training.precision": "bfloat16"}
    content = stored(None, **named)
    assert StepMode.stored(content) is None
    assert continued(data, content, **named) == StepMode("bfloat16", "none", "cpu")
    assert continued(data, content, torch.device("cuda"), **named) == StepMode("bfloat16", "auto", "cuda")


@pytest.mark.usefixtures("with_compiler")
def test_a_budget_beyond_which_compiling_pays_is_another_training(data):
    content = stored(StepMode("float32", "none", "cpu").to_dict())

    def differs(**settings):
        return compiles_otherwise(Experiment.from_flat({**LAPTOP, **settings}), content, data)

    assert not differs(**{"training.images": 32_000})
    assert differs(**{"training.images": 10_000_000})
    assert not differs(**{"training.images": 10_000_000, "training.compile": "none"})


@pytest.mark.parametrize(
    "damaged",
    ["bfloat16", {"precision": "bfloat16"}, {"precision": "float8", "compile": "none", "device": "cpu"},
     {"precision": "tf32", "compile": "fast", "device": "cpu"},
     {"precision": ["tf32"], "compile": "none", "device": "cpu"}],
)  # fmt: skip
def test_a_damaged_mode_is_refused(damaged):
    with pytest.raises(MemosweepError, match=r"a damaged checkpoint, .*step_mode"):
        StepMode.stored(stored(damaged))
