import os

import ray
import torch

from sweeps.engine.cluster.machines import hardware
from sweeps.engine.cluster.machines.hardware import describe_hardware, describe_machine, describe_nodes


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


def test_nodes_are_asked_and_equal_ones_counted(cluster):
    assert describe_nodes(60) == [describe_machine()]


def test_without_ray_there_are_no_nodes(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert describe_nodes() == []


def test_a_node_that_does_not_answer_is_described_by_what_ray_knows(cluster, monkeypatch):
    id_of_node = ray.nodes()[0]["NodeID"]
    gpu = {"CPU": 16.0, "GPU": 2.0, "accelerator_type:H100": 1.0, "memory": 2e11}
    nodes = [
        {"Alive": True, "NodeID": "b" * len(id_of_node), "Resources": gpu},
        {"Alive": False, "NodeID": "e" * len(id_of_node), "Resources": gpu},
        {"Alive": True, "NodeID": "d" * len(id_of_node), "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": True, "NodeID": "c" * len(id_of_node), "Resources": gpu},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert describe_nodes(0.2) == ["2 x 16 CPUs, 2 x H100", "4 CPUs, 1 GPU"]
