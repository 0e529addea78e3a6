import os

import torch

from sweeps.engine.cluster import hardware
from sweeps.engine.cluster.hardware import describe_hardware


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
