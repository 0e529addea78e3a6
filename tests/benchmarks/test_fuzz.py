"""The fuzzing benchmark: its damage can be repeated, its seed files are valid, and it sees what goes wrong."""

import io
import itertools
import json
import shutil
import sys
import time
import zipfile

import numpy as np
import pytest

from benchmarks import fuzz
from benchmarks.fuzzing import execution
from benchmarks.fuzzing.containers import damage_safetensors, damage_zip
from benchmarks.fuzzing.corruption import damage_bytes, damage_json, damage_json_lines, damage_tree
from benchmarks.fuzzing.execution import prepare, run_one
from benchmarks.fuzzing.seeds import write_seeds
from benchmarks.fuzzing.targets import TARGETS

TARGET = {target.name: target for target in TARGETS}
DOCUMENT = json.dumps({"a": [1, 2, {"b": "text"}], "c": json.dumps({"d": 1.5}), "e": None})


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    write_seeds(folder)
    return folder


def test_damage_is_the_same_for_the_same_seed_and_changes_something():
    content = bytes(range(256)) * 20
    for damage, before in (
        (damage_bytes, content),
        (damage_json, DOCUMENT),
        (damage_json_lines, f"{DOCUMENT}\n{DOCUMENT}\n"),
    ):
        first, second = ([damage(before, np.random.default_rng([0, n])) for n in range(200)] for _ in range(2))
        assert first == second
        assert len({str(result) for result in first}) > 60


def test_damaged_json_holds_odd_values_doubled_keys_and_text_that_is_no_json():
    texts = [damage_json(DOCUMENT, np.random.default_rng(n)) for n in range(1000)]
    assert any("[" * 1000 in text for text in texts)
    assert any("NaN" in text for text in texts)
    assert any(text.count('"a":') == 2 for text in texts)
    assert any("undefined" in text for text in texts)
    # The JSON inside a string is damaged too, and then the string is valid JSON outside.
    inner = {
        text for text in texts if text.startswith('{"a": [1, 2, {"b": "text"}], "c": "') and text.endswith('"e": null}')
    }
    assert len(inner) > 30


def test_damage_leaves_the_tree_that_it_was_given():
    tree = {"a": [1, {"b": 2}]}
    for n in range(100):
        damage_tree(tree, np.random.default_rng(n))
    assert tree == {"a": [1, {"b": 2}]}


def test_damage_inside_keeps_the_outside_valid(seeds):
    archive, weights = (seeds / name for name in ("images/set.zip", "snapshots/net.safetensors"))
    for n in range(50):
        with zipfile.ZipFile(io.BytesIO(damage_zip(archive.read_bytes(), np.random.default_rng(n)))) as damaged:
            assert damaged.testzip() is None
        content = damage_safetensors(weights.read_bytes(), np.random.default_rng(n))
        length = int.from_bytes(content[:8], "little")
        assert content[8 + length :] == weights.read_bytes()[-len(content[8 + length :]) :]


READ = {
    (target.group, target.files[0], *command): target
    for target in TARGETS
    # The last takes seconds, and reads what the others read.
    for command in target.commands
    if "report" not in command
}
"""Each command once."""


@pytest.mark.parametrize("key", READ, ids=lambda key: " ".join(key[1:4]))
def test_every_command_takes_the_undamaged_files(seeds, tmp_path, key):
    target, work = READ[key], tmp_path / "work"
    shutil.copytree(seeds / target.group, work)
    index = target.commands.index(key[2:])
    file = target.file(work, index)
    outcome, message = execution._in_process(target.command(work, file, index), file, 60)
    assert (outcome, message) == ("exit 0", message)


def test_a_run_can_be_repeated(seeds, tmp_path):
    target = TARGET["result.json"]
    for index in range(5):
        files = [prepare(target, index, seeds, tmp_path / str(n), seed=3)[1] for n in range(2)]
        assert files[0].read_bytes() == files[1].read_bytes()
        assert run_one(target, index, seeds, tmp_path / "work", 3, 60, apart=False) == run_one(
            target, index, seeds, tmp_path / "work", 3, 60, apart=False
        )


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        (lambda _: 0, "exit 0"),
        (lambda _: print("what is wrong", file=sys.stderr) or 2, "exit 2"),
        (lambda _: 2, "silent"),
        (lambda _: sys.exit("words"), "other exit"),
        (lambda _: 3, "other exit"),
        (lambda _: fail(KeyError("a")), "traceback"),
        (lambda _: fail(RecursionError()), "traceback"),
        (lambda _: print("Traceback (most recent call last):", file=sys.stderr), "traceback"),
        (lambda _: all(time.monotonic() for _ in itertools.count()), "hang"),
    ],
    ids=range(9),
)
def test_what_a_command_does_has_a_word(monkeypatch, tmp_path, entry, outcome):
    monkeypatch.setattr(execution, "_entry_point", lambda _: lambda arguments: entry(arguments) or 0)
    assert execution._in_process(["analysis"], tmp_path, 0.2)[0] == outcome


@pytest.fixture
def seeds_at_hand(seeds, monkeypatch):
    """The seed files of this module instead of new ones."""
    monkeypatch.setattr(fuzz, "write_seeds", lambda folder: shutil.copytree(seeds, folder))


@pytest.mark.usefixtures("seeds_at_hand")
def test_the_command_line_counts_and_agrees_with_processes_of_their_own(tmp_path, capsys):
    out = tmp_path / "fuzz.json"
    assert fuzz.main(["--only", "image zip", "--count", "6", "--every", "6", "--out", str(out)]) == 0
    (counted,) = json.loads(out.read_text())["counts"].values()
    assert counted.pop("apart") == 1
    assert sum(counted.values()) == 6 == counted["exit 0"] + counted["exit 2"]
    assert "6 damaged files, 0 failures" in capsys.readouterr().out


@pytest.mark.usefixtures("seeds_at_hand")
def test_one_run_is_kept_for_a_closer_look(tmp_path, capsys):
    fuzz.main(["--only", "image zip", "--index", "1", "--keep", str(tmp_path)])
    shown = capsys.readouterr().out.splitlines()
    assert (tmp_path / "0/set.zip").is_file()
    assert shown[0].startswith("image zip 1: exit ")
    assert shown[1] == str(tmp_path / "0/set.zip")
