"""Each script against the table of the paper's study, through its command line."""

import itertools
import json
import runpy
import sys
from pathlib import Path

import pytest

SWEEPS = Path(__file__).parents[2] / "sweeps"
SCRIPTS = sorted(file.stem for file in SWEEPS.glob("*.py") if file.stem not in ("__init__", "any", "emm"))


def dry_run(script, *arguments, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--dry-run", *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SWEEPS / f"{script}.py"), run_name="__main__")
    output = capsys.readouterr()
    assert stop.value.code == 0, output.err
    return [json.loads(line)["config"] for line in output.out.splitlines()]


@pytest.fixture
def trials(capsys, monkeypatch):
    return lambda script, *arguments: dry_run(script, *arguments, capsys=capsys, monkeypatch=monkeypatch)


def points(configs, *keys):
    return {tuple(tuple(c[key]) if isinstance(c[key], list) else c[key] for key in keys) for c in configs}


def product(*axes):
    return set(itertools.product(*axes))


def one_resolution(keep):
    """All masks that keep (or remove) some connections of one resolution and none (or all) of the others."""
    parts = [bits for bits in itertools.product([0, 1], repeat=3) if (any(bits) if keep else not all(bits))]
    rest = (0, 0, 0) if keep else (1, 1, 1)
    return [(*rest * place, *bits, *rest * (2 - place)) for place in range(3) for bits in parts]


K = 1000
SINGLE = [tuple(int(place == kept) for place in range(9)) for kept in range(9)]
FIVE = [K, 2 * K, 3 * K, 4 * K, 5 * K]
GRIDS = {
    # (script, figure): keys, expected points
    ("data_size", "1c"): (
        ("data.size", "training.epochs", "model.preconditioning", "model.depth", "training.learning_rate"),
        product([2 * K, 5 * K, 10 * K, 20 * K, 50 * K], [4000], ["edm"], [4], [1e-3]),
    ),
    ("data_size", "1d"): (("data.size", "training.epochs"), product(FIVE, [40_000])),
    ("resolution", "2a"): (
        ("data.resolution", "data.size"),
        product([32, 16, 8], [500, K, 2 * K, 4 * K, 8 * K, 16 * K]),
    ),
    ("resolution", "11a"): (
        ("data.resolution", "data.size"),
        product([64, 32, 16], [500, K, 2 * K, 4 * K, 8 * K, 12 * K]),
    ),
    ("num_classes", "2b"): (("data.classes", "data.size"), product([1, 2, 5, 10], [500, K, 2 * K])),
    ("class_blend", "2c"): (("data.blend_ratio", "data.size"), product([0, 0.2, 0.5, 0.8, 1], [500, K, 2 * K])),
    ("width", "3a"): (("model.width", "data.size"), product([128, 192, 256, 320], [500, *FIVE])),
    ("width", "7a"): (
        ("model.width", "model.depth", "data.size"),
        product([64, 96, 128, 160, 192, 224, 256], [2, 4], [2 * K]),
    ),
    ("depth", "3b"): (
        ("model.depth", "data.size"),
        product([2, 4, 6, 8, 10, 12], [500, K, 1500, 2 * K, 2500, 3 * K]),
    ),
    ("depth", "7b"): (("model.depth", "model.width", "data.size"), product([2, 4, 6, 8, 10], [128, 256], [2 * K])),
    ("time_embedding", "3c"): (
        ("model.time_embedding", "model.depth", "data.size"),
        product(["positional", "fourier"], [2, 4], [500, K, 2 * K]),
    ),
    ("time_embedding", "11b"): (
        ("model.time_embedding", "data.size"),
        product(["positional", "fourier"], [500, K, 2 * K]),
    ),
    ("batch_size", "Table 1"): (
        ("training.batch_size", "data.size"),
        product([128, 256, 384, 512, 640, 768, 896], [K, 2 * K]),
    ),
    ("weight_decay", "Table 2"): (
        ("training.weight_decay", "data.size"),
        product([0, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 1e-1], [K, 2 * K]),
    ),
    ("ema", "Table 2"): (
        ("training.ema_decay", "data.size"),
        product([0.99929, 0.999, 0.99, 0.9, 0.5, 0.1, 0], [K, 2 * K]),
    ),
    ("image_order", "order"): (
        ("training.order", "data.size", "seed"),
        product(["cyclic", "reshuffled", "replacement"], [2 * K], [0, 1, 2]),
    ),
    ("conditioning", "5a"): (("data.labels", "data.size"), product(["none", "true", "random"], FIVE)),
    ("conditioning", "9"): (("data.labels", "data.size"), product(["none", "true", "unique"], FIVE)),
    ("conditioning", "11d"): (("data.labels", "data.size"), product(["none", "unique"], [500, *FIVE])),
    ("random_labels", "5b"): (
        ("data.num_labels", "data.size"),
        product([1, 2, 5, 10, 20, 50, 100, 500, K], [5 * K]),
    ),
    ("random_labels", "11c"): (("data.num_labels", "data.size"), product([1, 10, 50, 100, 200, 400, 2 * K], [2 * K])),
    ("skip_connections", "4a"): (
        ("model.skip_connections", "data.size"),
        product(one_resolution(keep=True), [K]),
    ),
    ("skip_connections", "4b"): (("model.skip_connections", "data.size"), product(SINGLE, [K])),
    ("skip_connections", "4c"): (
        ("model.skip_connections", "data.size"),
        product([(1,) * 9, *one_resolution(keep=True)], [K]),
    ),
    ("skip_connections", "4d"): (("model.skip_connections", "data.size"), product(SINGLE, [K])),
    ("skip_connections", "8b"): (
        ("model.skip_connections", "data.size"),
        product(one_resolution(keep=False), [K]),
    ),
    ("unique_labels", "5c"): (
        ("data.labels", "data.size", "training.epochs", "model.preconditioning", "model.depth"),
        product(["none", "unique"], [50 * K], [12_000], ["edm"], [4]),
    ),
    ("text_conditioning", "Table 3"): (
        ("text.method", "text.lora_rank", "text.prompt", "data.size", "training.learning_rate"),
        product(["lora"], [16, 256, 1024], ["plain", "class"], [400, 500, 800, K, 2 * K], [3e-4])
        | product(["full"], [None], ["plain", "class"], [400, 500, 800, K, 2 * K], [1e-4]),
    ),
    ("optimum", "1a"): (
        ("evaluation.sampler", "data.labels", "data.size", "model.architecture"),
        product(["ode", "sde"], ["none", "true"], [K, 50 * K], ["optimum"]),
    ),
}


BASIC = {
    # Appendix B; None where a setting is not given.
    "data.dataset": "cifar10",
    "data.resolution": None,
    "data.classes": None,
    "data.blend_dataset": None,
    "data.labels": "none",
    "model.architecture": "ddpmpp",
    "model.preconditioning": "vp",
    "model.time_embedding": "positional",
    "model.width": 128,
    "model.depth": 2,
    "model.dropout": 0.13,
    "model.channel_multipliers": (2, 2, 2),
    "model.skip_connections": None,
    "training.epochs": 40 * K,
    "training.batch_size": 512,
    "training.learning_rate": 2e-4,
    "training.weight_decay": 0,
    "training.ema_decay": 0.99929,
    "training.order": "cyclic",
    "evaluation.num_samples": 10 * K,
}
EDM = {"model.preconditioning": "edm", "model.depth": 4, "training.learning_rate": 1e-3}
FFHQ = {
    "data.dataset": "ffhq-64x64.zip",
    "model.channel_multipliers": (1, 2, 2, 2),
    "training.batch_size": 256,
}
NCSNPP = {"model.architecture": "ncsnpp", "model.preconditioning": "ve", "model.time_embedding": "fourier"}
TEXT = {
    # Appendix G.
    "data.resolution": 256,
    "data.labels": "none",
    "model.architecture": "pipeline",
    "text.pipeline": "lambdalabs/miniSD-diffusers",
    "text.accumulation_steps": 4,
    "training.images": 400 * K,
    "training.batch_size": 16,
    "training.weight_decay": 1e-6,
    "evaluation.num_samples": 10 * K,
    "evaluation.steps": 50,
}
CHANGES = {
    # What the table names of a study besides its grid.
    ("data_size", "1c"): {**EDM, "training.epochs": 4 * K},
    ("resolution", "11a"): FFHQ,
    ("class_blend", "2c"): {"data.classes": (5,), "data.blend_dataset": "imagenet-dogs-32x32.zip"},
    ("time_embedding", "11b"): FFHQ,
    ("skip_connections", "4c"): NCSNPP,
    ("skip_connections", "4d"): NCSNPP,
    ("conditioning", "11d"): FFHQ,
    ("random_labels", "5b"): {"data.labels": "random"},
    ("random_labels", "11c"): {**FFHQ, "data.labels": "random"},
    ("unique_labels", "5c"): {**EDM, "training.epochs": 12 * K},
    ("optimum", "1a"): {"model.architecture": "optimum"},
}


@pytest.mark.parametrize(("script", "figure"), [*GRIDS, ("skip_connections", "8a")])
def test_the_paper_preset_is_the_papers_grid(script, figure, trials):
    configs = trials(script, "--preset", "paper", "--figure", figure)
    keys, expected = GRIDS.get((script, figure), ((), None))
    if expected is not None:
        assert points(configs, *keys) == expected
        assert len(configs) == len(expected)
    fixed = TEXT if script == "text_conditioning" else {**BASIC, **CHANGES.get((script, figure), {})}
    varied = {*keys, "training.learning_rate"} if script == "batch_size" else {*keys}
    if figure == "8a":
        varied.add("model.skip_connections")
    for key in fixed.keys() - varied:
        assert points(configs, key) == {(fixed[key],)}, key


def test_every_study_has_a_grid_here():
    studies = {
        (script, figure)
        for script in SCRIPTS
        for figure in runpy.run_path(str(SWEEPS / f"{script}.py"))["FACTOR"].figures("paper")
    }
    assert studies == {*GRIDS, ("skip_connections", "8a")}


def test_batches_scale_the_learning_rate(trials):
    configs = trials("batch_size", "--preset", "paper", "--sizes", "1000")
    rates = {c["training.batch_size"]: c["training.learning_rate"] for c in configs}
    assert rates == {size: pytest.approx(2e-4 * size / 512) for size in range(128, 897, 128)}


def test_random_combinations_are_five_of_each_count_where_there_are_as_many(trials):
    configs = trials("skip_connections", "--preset", "paper", "--figure", "8a")
    counts = [sum(c["model.skip_connections"]) for c in configs]
    assert {count: counts.count(count) for count in counts} == {1: 5, 3: 5, 5: 5, 7: 5, 8: 5, 9: 1}
    assert configs == trials("skip_connections", "--preset", "paper", "--figure", "8a")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_laptop_study_is_small(script, trials):
    configs = trials(script, "--preset", "laptop")
    assert 2 <= len(configs) <= 16
    # Digits have no pixels to spare, and their classes hold images that are too alike.
    dataset = "cifar10" if script in ("resolution", "num_classes", "class_blend") else "digits"
    assert points(configs, "data.dataset") == {(dataset,)}


@pytest.mark.parametrize("script", SCRIPTS)
def test_all_scripts_read_alike(script, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SWEEPS / f"{script}.py"), run_name="__main__")
    text = capsys.readouterr().out
    assert stop.value.code == 0
    for option in ("--preset", "--values", "--sizes", "--set", "--search", "--gpus-per-trial", "--storage-path",
                   "--name", "--resume", "--dry-run", f"sweeps/{script}.py --preset paper"):  # fmt: skip
        assert option in text


def test_repeats_replace_the_seeds_of_a_study(trials):
    configs = trials("image_order", "--preset", "laptop", "--repeats", "5")
    assert points(configs, "training.order", "seed") == product(["cyclic", "reshuffled", "replacement"], range(5))
    assert len(configs) == 15


def test_overlapping_figures_share_their_trials(trials):
    both = trials("width", "--preset", "paper")
    assert len(both) == 24 + 14 - 3
