import torch

from sweeps.engine.cluster.machines.gpus import count_by_driver, count_gpus, torch_build


def test_gpus_are_counted_as_torch_counts_them():
    assert count_gpus() == torch.cuda.device_count()


def test_the_build_of_torch_is_read_without_loading_it():
    assert torch_build()["cuda"] == torch.version.cuda
    assert torch_build()["__version__"] == torch.__version__


def test_without_a_driver_there_are_no_gpus():
    assert count_by_driver("no-such-library.so") == 0
    assert count_by_driver("libc.so.6") == 0  # a library without the driver's functions


def test_a_torch_for_cpus_alone_has_no_gpus(monkeypatch):
    monkeypatch.setattr("sweeps.engine.cluster.machines.gpus.torch_build", lambda: {"cuda": None, "hip": None})
    monkeypatch.setattr("sweeps.engine.cluster.machines.gpus.count_by_driver", lambda: 4)
    assert count_gpus() == 0


def test_a_torch_for_cuda_has_what_the_driver_shows(monkeypatch):
    monkeypatch.setattr("sweeps.engine.cluster.machines.gpus.torch_build", lambda: {"cuda": "13.0", "hip": None})
    monkeypatch.setattr("sweeps.engine.cluster.machines.gpus.count_by_driver", lambda: 4)
    assert count_gpus() == 4
