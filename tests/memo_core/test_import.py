"""`import memo_core` offers the names of README's example, and loads torch when one is used."""

import subprocess
import sys

import pytest

import memo_core

PROGRAM = """
import sys
{imports}
loaded = [name for name in {forbidden} if name in sys.modules]
sys.exit(f"loaded {{loaded}}" if loaded else 0)
"""


@pytest.mark.parametrize(
    "imports", ["import memo_core", "from memo_core import Experiment, MemosweepError, experiment_from, PRESETS"]
)
def test_the_schema_of_experiments_loads_no_torch(imports: str) -> None:
    program = PROGRAM.format(imports=imports, forbidden=["torch", "pandas", "ray", "scipy"])
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.parametrize("name", memo_core.__all__)
def test_every_name_is_the_one_of_its_module(name: str) -> None:
    public = getattr(memo_core, name)
    assert getattr(public, "__name__", name) == name
    assert name in dir(memo_core)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Trainor'"):
        memo_core.Trainor  # noqa: B018


def test_train_sample_and_measure(tiny: dict[str, object]) -> None:
    experiment = memo_core.experiment_from("laptop", tiny)
    training_set = memo_core.load_training_set(experiment.data)
    trainer = memo_core.Trainer(experiment, training_set=training_set)
    seen = [evaluation.metrics["images_seen"] for evaluation in trainer.evaluations()]
    assert seen == [48, 96]
    images, labels = memo_core.generate(trainer.state.ema, seeds=range(5), steps=3)
    assert images.shape == (5, 1, 8, 8)
    assert labels is None
    memorization = memo_core.measure_memorization(images, training_set.images)
    low, high = memorization.interval
    assert 0 <= low <= memorization.ratio <= high <= 1


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("notebook", {}, "preset 'notebook': choose one of laptop"),
        ("laptop", {"data.sise": 3}, "did you mean data.size"),
    ],
)
def test_a_wrong_preset_or_key_is_one_line(preset: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(memo_core.MemosweepError, match=message):
        memo_core.experiment_from(preset, changes)
