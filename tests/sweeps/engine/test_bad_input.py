"""Bad input stops a sweep before anything starts: one line, exit code 2, nothing written."""

import numpy as np
import pytest
from PIL import Image

from memo_core.data import write_npz
from sweeps.engine.plans.factor import Selection
from sweeps.engine.plans.manifest import Limits, describe_run
from sweeps.engine.plans.plan import grid_plan
from sweeps.weight_decay import FACTOR as WEIGHT_DECAY
from sweeps.width import FACTOR as WIDTH


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "data.siez=3"], "did you mean data.size"),
        (["--preset", "desktop"], "'desktop' is not known"),
        (["--sizes", "1"], "data.size = 1"),
        (["--sizes", "2000"], "digits has only 1,797 images"),
        (["--sizes", "9" * 5000], "data.size = '999"),
        (["--values", "9" * 5000], "training.weight_decay = '999"),
        (["--sizes", "many"], "data.size = 'many'"),
        (["--values", "-1"], "training.weight_decay = -1"),
        (["--values", "nan"], "training.weight_decay"),
        (["--set", "training.learning_rate=nan"], "training.learning_rate"),
        (["--set", "training.learning_rate=0"], "training.learning_rate = 0"),
        (["--set", "training.weight_decay=1"], "use --values"),
        (["--set", "data.size=8"], "use --sizes"),
        (["--set", "data.resolution=6"], "a multiple of 4"),
        (["--set", "model.skip_connections=101"], "3 entries"),
        (["--set", "model.attention_resolution=16"], "the network has 8, 4, 2"),
        (["--set", "data.blend_ratio=0.5"], "set data.blend_dataset"),
        (["--set", "data.labels=random", "--set", "data.num_labels=50"], "more labels than the 10 images"),
        (["--set", "data.classes=[8]", "--sizes", "175"], "174 images"),
        (["--set", "data.classes=5", "--sizes", "4"], "data.classes = 5: more classes than the 4 images"),
        (["--set", "data.dataset=/nowhere.zip"], "/nowhere.zip"),
        (["--figure", "99"], "--figure 99"),
        (["--repeats", "0"], "--repeats 0"),
        (["--gpus-per-trial", "0.5"], "--gpus-per-trial 0.5"),
        (["--values", "0", "--set", "model.width=132"], "32 groups cannot share"),
        (["--gpus-per-trial", "nan"], "--gpus-per-trial nan"),
        (["--cpus-per-trial", "nan"], "--cpus-per-trial nan"),
        (["--resume", "--storage-path", "foo://x"], "cannot be reached"),
        (["--search", "optuna", "--set", "model.dropout=range(0,3)"], "model.dropout = 3"),
        (["--search", "optuna", "--set", "model.dropout=range(0,inf)"], "finite ends"),
        (["--set", "model.dropout=range(0,0.5)"], "only --search optuna"),
        (["--search", "bisect", "--tolerance", "nan"], "--tolerance nan"),
        (["--zeta", "0.2"], "--zeta goes with --search bisect"),
        (["--no-early-success"], "goes with --search bisect"),
        (["--search", "bisect", "--max-size", "1"], "--max-size 1: expected greater than or equal to 2"),
        (["--search", "bisect", "--tolerance", "0"], "--tolerance 0.0: expected greater than 0"),
        (["--search", "bisect", "--zeta", "1"], "--zeta 1.0: expected less than 1"),
        (["--search", "optuna", "--trials", "0"], "--trials 0: expected greater than or equal to 1"),
        (["--trials", "5"], "--trials goes with --search optuna"),
        (["--resume", "--name", "x", "--dry-run"], "--resume with --dry-run"),
        (["--resume", "--name", "x", "--cpus-per-trial", "1"], "--resume with --cpus-per-trial"),
        (["--set", "seed=1", "--repeats", "2"], "the repeats are the seeds"),
        (["--search", "bisect", "--min-size", "0"], "--min-size 0"),
        (["--search", "bisect", "--set", "model.architecture=optimum"], "it has no EMM"),
        (["--gpus-per-trial", "-1"], "--gpus-per-trial -1"),
        (["--max-failures", "-1"], "--max-failures -1"),
        (["--storage-path", "/proc/nowhere"], "cannot be written"),
        (["--resume", "--name", "absent"], "is not the run of a sweep"),
        (["--resume"], "holds no run of weight_decay"),
        (["--resume", "--name", "x", "--sizes", "3"], "keeps its trials"),
        (["--name", "a/b"], "--name a/b"),
        (["--resume", "--extend", "run"], "--resume with --extend: give one of them"),
        (["--resume", "--auto-resume", "--name", "x"], "--resume with --auto-resume: give one of them"),
        (["--auto-resume", "--extend", "run"], "--auto-resume with --extend: give one of them"),
        (["--auto-resume"], "--auto-resume needs --name"),
        (["--extend", "run", "--name", "x"], "--extend itself takes the name"),
        (["--extend", "absent"], "is not the run of a sweep"),
        (["--extend", "run", "--search", "optuna"], "--extend with --search"),
        (["--extend", "run", "--gpus-per-trial", "1"], "--extend with --gpus-per-trial"),
        (["--extend", "run", "--cpus-per-trial", "1"], "--extend with --cpus-per-trial"),
        (["--reuse", "/nowhere"], "/nowhere does not exist, or is not the run of a sweep"),
        (["--reuse", "foo://x"], "foo://x: sweep.json cannot be read"),
        (["--resume", "--name", "x", "--reuse", "/nowhere"], "/nowhere does not exist"),
        (["--max-concurrent", "0"], "--max-concurrent 0: expected from 1 to 1,000,000"),
        (["--max-concurrent", "9" * 30], "expected from 1 to 1,000,000"),
        (["--max-failures", "9999999"], "--max-failures 9999999: expected from 0"),
        (["--max-concurrent", "many"], "invalid int value: 'many'"),
        *(
            ([option, text], f"{option} '{text}': expected a time above 0 with its unit")
            for option in ("--time-budget", "--checkpoint-every")
            for text in ("8", "0s", "1h30", "8 weeks", "nan", "inf h", "9999999999h", "1e3s", "")
        ),
    ],
)
def test_it_is_refused_in_one_line(arguments, message, script, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    storage = [] if "--storage-path" in arguments else ["--storage-path", str(tmp_path / "results")]
    preset = [] if "--resume" in arguments or "--preset" in arguments else ["--preset", "laptop"]
    code, _, errors = script("weight_decay", *preset, *storage, *arguments)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.rglob("*"))


@pytest.fixture
def storage(tmp_path):
    """A storage path with runs of a grid and of another factor."""
    for factor in (WEIGHT_DECAY, WIDTH):
        plan = grid_plan(factor, Selection("laptop"))
        describe_run(plan, {"cpu": 1.0}, Limits()).write(str(tmp_path / factor.name))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--extend", "width", "--repeats", "2"], "is a run of width (model.width), not of weight_decay"),
        (["--resume", "--name", "width"], "is a run of width (model.width), not of weight_decay"),
        (["--auto-resume", "--name", "width", "--preset", "laptop"], "is a run of width"),
        (["--auto-resume", "--name", "weight_decay", "--preset", "laptop", "--sizes", "10"],
         "was begun with other options: --sizes was left out, is 10; --resume finishes it"),
        (["--auto-resume", "--name", "weight_decay", "--preset", "laptop", "--set", "model.width=12"],
         "was begun with other options: --set model.width was left out, is 12"),
        (["--extend", "weight_decay", "--set", "model.width=16"], "only training.epochs or training.images can grow"),
        (["--extend", "weight_decay", "--set", "training.images=16"], "images, more than 16"),
        (["--extend", "weight_decay", "--trials", "3"], "--extend with --trials: the run is a grid"),
        (["--extend", "weight_decay", "--zeta", "0.3"], "--extend with --zeta: the run is a grid"),
        (["--extend", "weight_decay", "--preset", "paper"], "the run has the preset laptop"),
        (["--extend", "weight_decay", "--values", "-1"], "training.weight_decay = -1"),
    ],
)  # fmt: skip
def test_a_run_is_not_gone_on_with_by_what_does_not_fit_it(arguments, message, script, storage, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before = {path: path.read_bytes() for path in storage.rglob("*") if path.is_file()}
    code, _, errors = script("weight_decay", *arguments, "--storage-path", str(storage))
    assert (code, errors.count("\n")) == (2, 1)
    assert message in errors
    assert {path: path.read_bytes() for path in storage.rglob("*") if path.is_file()} == before


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(12):
        Image.fromarray(np.full((8, 8), index, np.uint8)).save(folder / f"{index:02d}.png")
    return folder


def test_a_broken_image_is_found_before_the_sweep(images, script, tmp_path):
    file = images / "07.png"
    file.write_bytes(file.read_bytes()[:-30])
    arguments = ["--preset", "laptop", "--sizes", "12", "--set", f"data.dataset={images}"]
    code, _, errors = script("weight_decay", *arguments, "--storage-path", str(tmp_path / "results"))
    assert code == 2
    assert "07.png" in errors
    assert not (tmp_path / "results").exists()


def test_labels_must_be_there_where_they_are_asked_for(images, script, tmp_path):
    arguments = ["--preset", "laptop", "--sizes", "12", "--set", f"data.dataset={images}", "--set", "data.labels=true"]
    code, _, errors = script("weight_decay", *arguments, "--storage-path", str(tmp_path / "results"))
    assert code == 2
    assert "has no labels" in errors


def test_a_network_that_cannot_halve_the_images_is_refused(script, tmp_path):
    write_npz(tmp_path / "odd.npz", np.zeros((12, 1, 10, 10), np.uint8), None)
    arguments = ["--preset", "laptop", "--sizes", "12", "--set", f"data.dataset={tmp_path / 'odd.npz'}"]
    code, _, errors = script("weight_decay", *arguments, "--storage-path", str(tmp_path / "results"))
    assert code == 2
    assert "data.resolution = 10" in errors
