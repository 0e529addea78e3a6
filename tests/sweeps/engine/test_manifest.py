import json
import os

import pytest
import torch

from memo_core.experiment import Experiment
from memo_core.presets import LAPTOP
from sweeps.engine import hardware
from sweeps.engine.hardware import describe_hardware
from sweeps.engine.manifest import FILE, Manifest, describe_run
from sweeps.engine.search_settings import GridSettings

SETTINGS = {
    "factor": "width", "key": "model.width", "preset": "laptop",
    "moved": ["model.width"], "trials": [Experiment.from_flat(LAPTOP).to_flat()],
    "resources": {"cpu": 1.0}, "max_failures": 2, "search": "grid",
    "search_settings": GridSettings(),
}  # fmt: skip


def test_processor_cores_memory_and_accelerators_are_named(monkeypatch, tmp_path):
    information = tmp_path / "cpuinfo"
    information.write_text("processor\t: 0\nmodel name\t: AMD EPYC 9354\nprocessor\t: 1\nmodel name\t: AMD EPYC 9354\n")
    monkeypatch.setattr(hardware, "CPU_INFO", information)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**25}.__getitem__)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(
        torch.cuda, "get_device_name", lambda index: ["NVIDIA H100", "NVIDIA H100", "NVIDIA A10"][index]
    )
    assert describe_hardware() == "AMD EPYC 9354, 16 cores, 128 GiB memory, 2 x NVIDIA H100, NVIDIA A10"


def test_what_a_system_does_not_tell_is_left_out(monkeypatch, tmp_path):
    def silent(*_):
        raise RuntimeError("no driver")

    def unknown(_):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "missing")
    monkeypatch.setattr(torch.cuda, "device_count", silent)
    monkeypatch.setattr(os, "sysconf", unknown)
    assert describe_hardware().endswith(" cores")


def test_the_command_can_be_typed_again(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["/anywhere/sweeps/width.py", "--preset", "laptop"])
    manifest = describe_run(**SETTINGS)
    assert manifest.command == ["python", "sweeps/width.py", "--preset", "laptop"]
    manifest.write(str(tmp_path))
    assert Manifest.read(str(tmp_path)) == manifest


@pytest.mark.parametrize("old", [{"hardware": "x86_64", "command": ["width.py"], "title": "Width", "scale": "log"}])
def test_older_manifests_can_be_read(old, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sweeps/width.py"])
    describe_run(**SETTINGS).write(str(tmp_path))
    stored = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**stored, **old}))
    assert Manifest.read(str(tmp_path)).hardware == "x86_64"
