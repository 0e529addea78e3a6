"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import settings

from memo_core.experiment import Experiment

# Figures are drawn without a display.
os.environ.setdefault("MPLBACKEND", "agg")

# Many small operations: threads would only wait for each other, and bits would depend on their number.
torch.set_num_threads(1)

# The same examples every time, and as long as they take on a busy machine.
settings.register_profile("memosweep", deadline=None, derandomize=True)
settings.load_profile("memosweep")

REPOSITORY = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start Ray, so that `-m "not ray"` leaves them out."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker("ray")


def shared_folder() -> Path:
    """Reference data that does not ship with the project: golden snapshots, CIFAR-10 images."""
    return Path(os.environ.get("MEMOSWEEP_SHARED") or REPOSITORY / "../shared").resolve()


@pytest.fixture(scope="session")
def golden() -> Path:
    """Outputs of the original implementation."""
    folder = shared_folder() / "golden"
    if not folder.is_dir():
        pytest.skip("golden files are not at hand (MEMOSWEEP_SHARED)")
    return folder


@pytest.fixture(scope="session")
def cifar10_zip() -> Path:
    """5,085 CIFAR-10 images in EDM format."""
    file = shared_folder() / "data/cifar10-5085-32x32.zip"
    if not file.is_file():
        pytest.skip("the CIFAR-10 archive is not at hand (MEMOSWEEP_SHARED)")
    return file


TINY = {
    "data.size": 10,
    "model.preconditioning": "edm",
    "model.width": 8,
    "model.depth": 1,
    "model.dropout": 0.1,
    "model.channel_multipliers": [1, 1],
    "training.images": 96,
    "training.batch_size": 16,
    "training.learning_rate": 1e-3,
    "training.warmup_epochs": 2,
    "evaluation.count": 2,
    "evaluation.num_samples": 12,
    "evaluation.steps": 3,
}


@pytest.fixture
def tiny() -> dict[str, object]:
    """Settings of an experiment that takes a second."""
    return dict(TINY)


@pytest.fixture
def small_inception(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six features of color images in the place of InceptionV3, whose weights are not at hand."""

    class ChannelMeans(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.float().unflatten(2, (2, -1)).mean((3, 4)).flatten(1) / 255

    monkeypatch.setattr("memo_core.measure.fid.inception", ChannelMeans)


@pytest.fixture
def tiny_experiment(tiny: dict[str, object]) -> Iterator[Experiment]:
    """The same, validated."""
    yield Experiment.from_flat(tiny)


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """Shapes unchecked: torch.compile cannot trace the checks."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
