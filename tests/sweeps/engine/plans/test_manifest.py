import errno
import json
import subprocess

import pytest
import torch
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as hypothesis_settings

from memo_core.errors import MemosweepError, StorageFullError
from sweeps.engine.plans import manifest as manifest_module
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.manifest import FILE, Limits, Manifest, describe_run
from sweeps.engine.plans.plan import grid_plan
from sweeps.width import FACTOR as WIDTH

PLAN = grid_plan(WIDTH, Selection("laptop", values=[8], sizes=[10]))


def describe():
    return describe_run(PLAN, {"cpu": 1.0}, Limits(max_failures=2))


def test_the_command_can_be_typed_again(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["/anywhere/sweeps/width.py", "--preset", "laptop"])
    manifest = describe()
    assert manifest.command == ["python", "sweeps/width.py", "--preset", "laptop"]
    manifest.write(str(tmp_path))
    assert Manifest.read(str(tmp_path)).model_dump_json() == manifest.model_dump_json()


def test_a_disk_that_is_full_leaves_the_manifest_that_was_there(monkeypatch, tmp_path):
    describe().write(str(tmp_path))
    before = (tmp_path / FILE).read_bytes()

    def full(path, content):
        path.write_bytes(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("memo_core.files._write_checked", full)
    with pytest.raises(StorageFullError, match="No space left"):
        describe().model_copy(update={"started": "later"}).write(str(tmp_path))
    assert (tmp_path / FILE).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_what_the_numbers_depend_on_is_recorded(tmp_path):
    digest = "0" * 63 + "f"
    manifest = describe_run(PLAN, {"cpu": 1.0}, Limits(), workers=["3 x EPYC"], images={"/data/a.zip": digest})
    assert (manifest.workers, manifest.images) == (["3 x EPYC"], {"/data/a.zip": digest})
    assert {"python", "memosweep", "ray", "torch", "optuna"} <= manifest.versions.keys()
    assert manifest.versions.get("cuda") == torch.version.cuda
    manifest.write(str(tmp_path))
    assert Manifest.read(str(tmp_path)).model_dump_json() == manifest.model_dump_json()


def git(folder, *arguments):
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def test_changes_that_are_not_committed_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest_module, "_ROOT", tmp_path)
    assert (describe().git_commit, describe().git_dirty) == (None, None)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/width.py").write_text("a")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-m", "a")
    assert len(describe().git_commit) == 40
    assert describe().git_dirty is False
    (tmp_path / "results").mkdir()
    (tmp_path / "results/table.csv").write_text("")
    assert describe().git_dirty is False
    (tmp_path / "sweeps/new.py").write_text("")
    assert describe().git_dirty is True
    (tmp_path / "sweeps/new.py").unlink()
    (tmp_path / "sweeps/width.py").write_text("b")
    assert describe().git_dirty is True


OPTUNA = {
    "space": {"training.learning_rate": {
        "low": 1e-4, "high": 1e-2, "log": True, "integer": False, "complement": False}},
    "kind": "optuna", "figure": "2a", "num_trials": 3, "direction": "max", "asha": False,
}  # fmt: skip
BISECT = {
    "kind": "bisect", "zeta": 0.1, "tolerance": 0.1, "min_size": 4, "max_size": 100,
    "early_success": True, "sequential_sampling": True,
}  # fmt: skip


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A written manifest as a dictionary."""
    monkeypatch.setattr("sys.argv", ["sweeps/width.py"])
    describe().write(str(tmp_path))
    return json.loads((tmp_path / FILE).read_text())


def reading(stored, tmp_path, plan=None, **changes):
    content = {**stored, "plan": {**stored["plan"], **(plan or {})}, **changes}
    (tmp_path / FILE).write_text(json.dumps(content))
    return Manifest.read(str(tmp_path))


@pytest.mark.parametrize("search", [{"kind": "grid"}, OPTUNA, BISECT], ids=lambda search: search["kind"])
def test_each_search_has_options_of_its_own(search, stored, tmp_path):
    plan = reading(stored, tmp_path, plan={"search": search}).plan
    assert plan.search.model_dump() == search


def with_space(**space):
    return {"plan": {"search": {**OPTUNA, "space": space}}}


@pytest.mark.parametrize(
    "changes",
    [
        *({"plan": {"trials": trials}} for trials in ([], None, [3], [{"data.size": "x"}], [{"a": 1}], {"0": {}},
                                                      [{"model.width": 8}])),
        *({"plan": {"varied": varied}} for varied in ("x", [None], ["x"])),
        *({"plan": {"factor": factor}} for factor in (None, {}, {"name": "a", "key": "model.widht"},
                                                      {"name": "a", "key": 3}, {"name": None, "key": "seed"},
                                                      {"name": "a", "key": "seed", "scale": "cubic"},
                                                      {"name": "a", "key": "seed", "dependent": ["x"]})),
        {"plan": {"preset": "desktop"}}, {"plan": {"surplus": 1}}, {"started": 3}, {"command": "x"},
        {"resources": {"cpu": "1"}}, {"resources": {"cpu": -1}}, {"resources": {"cpu": float("nan")}},
        {"resources": {"tpu": 1}}, {"resources": [1]}, {"limits": None}, {"limits": {"max_failures": -1}},
        {"limits": {"max_failures": 1.5}}, {"limits": {"max_failures": 10**400}}, {"limits": {"max_concurrent": 0}},
        {"limits": {"time_budget": 0}}, {"limits": {"checkpoint_every": -1}}, {"limits": {"time_budget": "8h"}},
        {"versions": {"ray": 2}}, {"git_commit": 7}, {"surplus": 1},
        {"git_dirty": "yes"}, {"workers": "one"}, {"images": {"digits": "abc"}}, {"images": ["digits"]},
        *({"plan": {"search": search}} for search in (
            None, "grid", {}, {"kind": "random"}, {"kind": "grid", "zeta": 0.1},
            {**BISECT, "min_size": 200}, {**BISECT, "min_size": None}, {**BISECT, "zeta": 1.5},
            {**BISECT, "early_success": 1}, {**OPTUNA, "num_trials": 0}, {**OPTUNA, "direction": "up"},
            {**OPTUNA, "space": {}},
        )),
        with_space(**{"data.size": {"low": 1}}), with_space(**{"data.size": {"choices": []}}),
        with_space(**{"data.labels": {"low": 0, "high": 1, "log": False, "integer": False}}),
        with_space(**{"training.learning_rate": {"low": 0, "high": 1, "log": True, "integer": False}}),
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


@pytest.mark.parametrize("name", ["trials", "factor", "preset", "varied"])
def test_a_missing_entry_is_named(name, stored, tmp_path):
    del stored["plan"][name]
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
    content = bytearray(json.dumps({**stored, "plan": {**stored["plan"], "search": OPTUNA}}).encode())
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
    manifest = describe()
    manifest.write(str(tmp_path / name))
    assert (tmp_path / name / FILE).is_file()
    assert Manifest.read(str(tmp_path / name)).model_dump_json() == manifest.model_dump_json()
