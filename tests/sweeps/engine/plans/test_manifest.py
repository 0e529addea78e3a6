import json
import os

import pytest
import torch
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as hypothesis_settings

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP
from sweeps.engine.cluster import hardware
from sweeps.engine.cluster.hardware import describe_hardware
from sweeps.engine.plans.manifest import FILE, Manifest, describe_run
from sweeps.engine.plans.search_settings import GridSettings

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


OPTUNA = {
    "space": {"training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True, "integer": False}},
    "figure": "2a", "num_trials": 3, "direction": "max", "asha": False,
}  # fmt: skip
BISECT = {
    "labels": ["all"], "min_size": 4, "max_size": 100, "target": 0.9, "tolerance": 0.1, "seed_spread": 0.4,
    "early_success": True, "sequential_sampling": True,
}  # fmt: skip


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A written manifest as a dictionary."""
    monkeypatch.setattr("sys.argv", ["sweeps/width.py"])
    describe_run(**SETTINGS).write(str(tmp_path))
    return json.loads((tmp_path / FILE).read_text())


def reading(stored, tmp_path, **changes):
    (tmp_path / FILE).write_text(json.dumps({**stored, **changes}))
    return Manifest.read(str(tmp_path))


@pytest.mark.parametrize(("search", "settings"), [("grid", {}), ("optuna", OPTUNA), ("bisect", BISECT)])
def test_each_search_has_settings_of_its_own(search, settings, stored, tmp_path):
    manifest = reading(stored, tmp_path, search=search, search_settings=settings)
    assert manifest.search_settings.model_dump() == settings


@pytest.mark.parametrize(
    "changes",
    [
        {"trials": []}, {"trials": None}, {"trials": [3]}, {"trials": [{"data.size": "x"}]}, {"trials": [{"a": 1}]},
        {"trials": [{"model.width": 8}]}, {"trials": {"0": {}}}, {"moved": "x"}, {"moved": [None]}, {"moved": ["x"]},
        {"key": "model.widht"}, {"key": 3}, {"factor": None}, {"preset": "desktop"}, {"started": 3}, {"command": "x"},
        {"resources": {"cpu": "1"}}, {"resources": {"cpu": -1}}, {"resources": {"cpu": float("nan")}},
        {"resources": {"tpu": 1}}, {"resources": [1]}, {"max_failures": -1}, {"max_failures": 1.5},
        {"max_failures": 10**400}, {"search": "random"}, {"search": None}, {"search_settings": None},
        {"search_settings": OPTUNA}, {"search": "optuna"}, {"search": "bisect", "search_settings": OPTUNA},
        {"search": "bisect", "search_settings": {**BISECT, "labels": ["a", "b"]}},
        {"search": "bisect", "search_settings": {**BISECT, "min_size": 200}},
        {"search": "bisect", "search_settings": {**BISECT, "target": 1.5}},
        {"search": "bisect", "search_settings": {**BISECT, "early_success": 1}},
        {"search": "optuna", "search_settings": {**OPTUNA, "num_trials": 0}},
        {"search": "optuna", "search_settings": {**OPTUNA, "direction": "up"}},
        {"search": "optuna", "search_settings": {**OPTUNA, "space": {}}},
        {"search": "optuna", "search_settings": {**OPTUNA, "space": {"data.size": {"low": 1}}}},
        {"search": "optuna", "search_settings": {**OPTUNA, "space": {"data.size": {"choices": []}}}},
        {"search": "optuna", "search_settings": {**OPTUNA, "space": {"data.labels": {
            "low": 0, "high": 1, "log": False, "integer": False}}}},
        {"search": "optuna", "search_settings": {**OPTUNA, "space": {"training.learning_rate": {
            "low": 0, "high": 1, "log": True, "integer": False}}}},
        {"versions": {"ray": 2}}, {"git_commit": 7}, {"surplus": 1},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)  # fmt: skip
def test_a_damaged_entry_is_named_in_one_line(changes, stored, tmp_path):
    with pytest.raises(MemosweepError) as error:
        reading(stored, tmp_path, **changes)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/{FILE} is damaged: ")
    assert "\n" not in message
    assert len(message) < 600 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["trials", "search", "search_settings", "resources", "moved", "key", "started"])
def test_a_missing_entry_is_named(name, stored, tmp_path):
    del stored[name]
    with pytest.raises(MemosweepError, match=name):
        reading(stored, tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"{", b"\xff\xfe", b"[" * 100_000, b'{"factor": ' * 5000])
def test_what_is_no_object_is_one_line(content, tmp_path):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(MemosweepError) as error:
        Manifest.read(str(tmp_path))
    assert "\n" not in str(error.value)


@given(data=strategies.data())
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_damage_reads_or_is_one_line(data, stored, tmp_path):
    content = bytearray(json.dumps({**stored, "search": "optuna", "search_settings": OPTUNA}).encode())
    for _ in range(data.draw(strategies.integers(1, 4))):
        start = data.draw(strategies.integers(0, len(content) - 1))
        content[start : start + data.draw(strategies.integers(0, 12))] = data.draw(strategies.binary(max_size=6))
    (tmp_path / FILE).write_bytes(bytes(content))
    try:
        Manifest.read(str(tmp_path))
    except MemosweepError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["[run]", "a b", "é", "50%20", "a#b", "what?", "a::b", "*"])
def test_any_folder_can_hold_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sweeps/width.py"])
    manifest = describe_run(**SETTINGS)
    manifest.write(str(tmp_path / name))
    assert (tmp_path / name / FILE).is_file()
    assert Manifest.read(str(tmp_path / name)) == manifest
