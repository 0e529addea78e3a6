"""Data sets of the driver's machine on a node that does not have them."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import ray
from PIL import Image

from memo_core.data import copies, load_training_set, write_npz
from memo_core.data.sources import DATA_ROOT_VARIABLE
from memo_core.errors import MemosweepError
from memo_core.experiment import DataConfig
from sweeps.engine.cluster.data_sets import data_sets_of


@pytest.fixture
def elsewhere(cluster, tmp_path, monkeypatch):
    """Put data sets into the object store, lose the originals, and be on another node."""
    monkeypatch.setattr(copies, "_copies", {})

    def move(config):
        sent = data_sets_of([config])
        for path in (config.dataset, config.blend_dataset):
            if path is not None:
                shutil.rmtree(path) if (tmp_path / path).is_dir() else (tmp_path / path).unlink()
        monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path / "node"))
        return replace(sent, node="another")

    return move


@pytest.fixture
def config(tmp_path):
    """An archive, blended with a folder of images in folders of their classes."""
    generator = np.random.default_rng(0)
    write_npz(tmp_path / "first.npz", generator.integers(0, 256, (8, 3, 8, 8), np.uint8), None)
    for index in range(8):
        file = tmp_path / "second" / f"class{index % 2}" / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
    return DataConfig(
        dataset=str(tmp_path / "first.npz"), blend_dataset=str(tmp_path / "second"), blend_ratio=0.5, size=8
    )


def test_the_images_are_the_same_and_arrive_once(config, elsewhere, monkeypatch):
    before = load_training_set(config).pixels_sha256
    sent = elsewhere(config)
    with pytest.raises(MemosweepError):
        load_training_set(config)
    fetched, get = [], ray.get
    monkeypatch.setattr(ray, "get", lambda content: fetched.append(content) or get(content))
    with ThreadPoolExecutor(4) as trials:
        list(trials.map(lambda _: sent.provide(config), range(8)))
    assert load_training_set(config).pixels_sha256 == before
    assert len(fetched) == 2


def test_another_version_of_a_file_is_another_copy(config, elsewhere, tmp_path):
    elsewhere(config.model_copy(update={"blend_dataset": None})).provide(config)
    newer = np.full((8, 3, 8, 8), 7, np.uint8)
    write_npz(tmp_path / "first.npz", newer, None)
    only = DataConfig(dataset=config.dataset, size=4)
    elsewhere(only).provide(only)
    assert (load_training_set(only).images == 7).all()


def test_the_drivers_own_node_reads_the_original(config, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "_copies", {})
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path / "node"))
    data_sets_of([config]).provide(config)
    assert not (tmp_path / "node").exists()
    assert not copies._copies


def test_cifar10_is_brought_where_torchvision_looks_for_it(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path / "head"))
    folder = tmp_path / "head/cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"images")
    config = DataConfig(dataset="cifar10", size=4)
    sent = replace(data_sets_of([config]), node="another")
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path / "node"))
    sent.provide(config)
    assert (tmp_path / "node/cifar-10-batches-py/data_batch_1").read_bytes() == b"images"


def test_a_node_without_room_is_one_line(config, elsewhere, tmp_path):
    sent = elsewhere(config)
    (tmp_path / "node").write_text("a file")
    with pytest.raises(MemosweepError, match=r"first\.npz: cannot be brought to .*node/copies"):
        sent.provide(config)
