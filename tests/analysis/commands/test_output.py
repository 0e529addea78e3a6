"""Output that is closed or full, of all three command lines, in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.commands import table
from analysis.commands.main import main

REPOSITORY = Path(__file__).parents[3]
SWEEP = ("sweeps/weight_decay.py", "--dry-run", "--preset", "laptop")
TRAINING = (
    "--device", "cpu", "--set", "data.size=8", "--set", "model.width=8", "--set", "model.channel_multipliers=[1,1]",
    "--set", "training.images=32", "--set", "training.batch_size=8", "--set", "evaluation.count=2",
    "--set", "evaluation.num_samples=4", "--set", "evaluation.steps=2",
)  # fmt: skip
COMMANDS = {
    "analysis": ("-m", "analysis", "table", "FOLDER"),
    "analysis figures": ("-m", "analysis", "figures", "FOLDER", "--out", "FIGURES"),
    "analysis emm": ("-m", "analysis", "emm", "FOLDER", "--format", "json"),
    "analysis help": ("-m", "analysis", "--help"),
    "memo_core": ("-m", "memo_core", "measure", "--training", "IMAGES", "--generated", "IMAGES", "--json"),
    "memo_core train": ("-m", "memo_core", "train", "--out", "TRAINED", *TRAINING),
    "memo_core help": ("-m", "memo_core", "train", "--help"),
    "sweeps": SWEEP,
    "sweeps help": ("sweeps/weight_decay.py", "--help"),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the commands read and write."""
    folder = tmp_path_factory.mktemp("output")
    for index, width in enumerate((8, 16)):
        results = folder / "run" / f"trial_{index:05d}"
        results.mkdir(parents=True)
        config = {"data.size": 10, "training.images": 20, "model.width": width}
        line = {"images_seen": 20, "epoch": 2.0, "memorization_ratio": 0.5, "num_samples": 100,
                "trial_id": f"a_{index:05d}", "done": True, "config": config}  # fmt: skip
        (results / "result.json").write_text(json.dumps(line) + "\n")
    images = folder / "images.npz"
    np.savez(images, images=np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), dtype=np.uint8))
    return {"FOLDER": str(folder / "run"), "FIGURES": str(folder / "figures"), "IMAGES": str(images),
            "TRAINED": str(folder / "trained")}  # fmt: skip


def start(name: str, places: dict[str, str], stdout: int, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    words = [places.get(word, word) for word in COMMANDS[name]]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, *words], cwd=REPOSITORY, env=environment, stdout=stdout, stderr=stderr, text=True
    )


@pytest.fixture(autouse=True)
def untrained(places: dict[str, str]) -> None:
    """Each test trains anew."""
    shutil.rmtree(places["TRAINED"], ignore_errors=True)


def notes(name: str) -> str:
    """What a command writes on standard error: a dry run the disk that its trials will need."""
    return "disk: 179 MB for 14 trials, with 2 checkpoints each\n" if name == "sweeps" else ""


@pytest.mark.parametrize("name", COMMANDS)
def test_output_that_its_reader_closed_ends_silently(name: str, places: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(name, places, writer)
    os.close(writer)
    _, said = process.communicate(timeout=120)
    assert said == notes(name)
    assert process.returncode == 141


def test_training_goes_on_to_its_end_when_its_reader_leaves_after_a_line(places: dict[str, str]) -> None:
    reader, writer = os.pipe()
    process = start("memo_core train", places, writer)
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert lines.readline().startswith("epoch 2  images 16 ")
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (141, "")
    assert torch.load(Path(places["TRAINED"]) / "checkpoint.pt", weights_only=True)["images_seen"] == 32


SWEEP_DISPLAY = """
import sys
from pathlib import Path
from memo_core.command_line import run
from sweeps.engine.tune.display.progress import LiveProgress

def sweep():
    display = LiveProgress("run", ["model.width"], 2, run_path="run", folder=str, identity=str)
    display.setup()
    for trial in range(3):
        display._say(f"{trial}/3")
    print("results in run", flush=True)
    Path(sys.argv[1]).write_text("table")
    return int(sys.argv[2])

sys.exit(run(sweep))
"""


@pytest.mark.parametrize(("own", "code"), [(0, 141), (1, 1), (130, 130)])
def test_a_sweep_goes_on_to_its_artifacts_and_keeps_a_code_of_its_own(own: int, code: int, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEP_DISPLAY, str(tmp_path / "table.csv"), str(own)],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=writer, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    os.close(writer)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (code, "")
    assert (tmp_path / "table.csv").read_text() == "table"


def test_an_interrupted_analysis_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(table, "run", interrupt)
    assert main(["table", "folder"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", COMMANDS)
def test_output_without_room_is_one_line(name: str, places: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = start(name, places, full.fileno())
        _, said = process.communicate(timeout=120)
    assert said == "error: the output cannot be written (No space left on device)\n"
    assert process.returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["analysis", "memo_core help", "sweeps"])
def test_errors_without_room_keep_the_exit_code(name: str, places: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = start(name, places, full.fileno(), full.fileno())
        process.communicate(timeout=120)
    assert process.returncode == 2


@pytest.mark.parametrize("name", ["analysis", "memo_core", "sweeps"])
def test_a_closed_standard_output_is_none(name: str, places: dict[str, str]) -> None:
    words = [places.get(word, word) for word in COMMANDS[name]]
    command = " ".join([sys.executable, *words, ">&-"])
    done = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                          capture_output=True, text=True, check=False, timeout=120)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, notes(name))
