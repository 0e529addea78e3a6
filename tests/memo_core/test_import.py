"""`import memo_core` offers the names of README's example, and loads torch when one is used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import memo_core
from tests.conftest import REPOSITORY

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


def test_the_example_of_the_readme_runs(
    tiny: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "import memo_core" in block]
    small = memo_core.experiment_from("laptop", tiny)
    monkeypatch.setattr(memo_core, "experiment_from", lambda *_: small, raising=False)
    monkeypatch.chdir(tmp_path)
    exec(compile(example.replace("range(256)", "range(16)"), "README.md", "exec"), names := {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(images_seen) for images_seen, _ in lines[:2]] == [48, 96]
    assert names["images"].shape == (16, 1, 8, 8)
    low, high = names["memorization"].interval
    assert 0 <= low <= float(lines[2][0]) <= high <= 1
    assert (tmp_path / "another/checkpoint.pt").is_file()


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
