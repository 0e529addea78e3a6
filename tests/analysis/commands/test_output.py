"""Output that is closed or full, of all three command lines, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[3]
SWEEP = ("sweeps/weight_decay.py", "--dry-run", "--preset", "laptop")
COMMANDS = {
    "analysis": ("-m", "analysis", "table", "FOLDER"),
    "analysis figures": ("-m", "analysis", "figures", "FOLDER", "--out", "FIGURES"),
    "analysis emm": ("-m", "analysis", "emm", "FOLDER", "--format", "json"),
    "analysis help": ("-m", "analysis", "--help"),
    "memo_core": ("-m", "memo_core", "measure", "--training", "IMAGES", "--generated", "IMAGES", "--json"),
    "memo_core help": ("-m", "memo_core", "train", "--help"),
    "sweeps": SWEEP,
    "sweeps help": ("sweeps/weight_decay.py", "--help"),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the commands read and write."""
    folder = tmp_path_factory.mktemp("output")
    results = folder / "run" / "trial_00000"
    results.mkdir(parents=True)
    config = {"data.size": 10, "training.images": 20, "model.width": 8}
    line = {"images_seen": 20, "epoch": 2.0, "memorization_ratio": 0.5, "num_samples": 100, "trial_id": "a_00000",
            "done": True, "config": config}  # fmt: skip
    (results / "result.json").write_text(json.dumps(line) + "\n")
    images = folder / "images.npz"
    np.savez(images, images=np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), dtype=np.uint8))
    return {"FOLDER": str(folder / "run"), "FIGURES": str(folder / "figures"), "IMAGES": str(images)}


def start(name: str, places: dict[str, str], stdout: int, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    words = [places.get(word, word) for word in COMMANDS[name]]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, *words], cwd=REPOSITORY, env=environment, stdout=stdout, stderr=stderr, text=True
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_output_that_its_reader_closed_ends_silently(name: str, places: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(name, places, writer)
    os.close(writer)
    _, said = process.communicate(timeout=120)
    assert said == ""
    assert process.returncode == 141


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
    assert (done.returncode, done.stderr) == (0, "")
