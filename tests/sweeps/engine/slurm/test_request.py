import argparse

import pytest

from memo_core.errors import MemosweepError
from sweeps.engine.slurm.request import Request, check_options, typed_without_slurm


@pytest.mark.parametrize(
    ("texts", "nodes", "gpus", "cpus"),
    [
        ([], 1, 0, 1),
        (["time=24:00:00", "--partition=gpu"], 1, 0, 1),
        (["exclusive"], 1, 0, None),
        (["exclusive", "cpus-per-task=8"], 1, 0, 8),
        (["nodes=3"], 3, 0, None),
        (["gpus-per-node=4", "cpus-per-task=32"], 1, 4, 32),
        (["gpus-per-node=a100:2", "nodes=2"], 2, 2, None),
        (["gres=gpu"], 1, 1, 1),
        (["gres=gpu:3"], 1, 3, 1),
        (["gres=lustre:1,gpu:h100:2"], 1, 2, 1),
        (["gres=lustre:1"], 1, 0, 1),
        (["gpus=8", "nodes=2"], 2, 4, None),
        (["gpus-per-task=1"], 1, 1, 1),
        (["gpus-per-node=4", "cpus-per-gpu=8"], 1, 4, 32),
    ],
)
def test_what_a_job_asks_for_on_each_node(texts, nodes, gpus, cpus):
    request = Request.of(texts)
    assert (request.nodes, request.gpus, request.cpus) == (nodes, gpus, cpus)
    assert all(not name.startswith("-") for name in request.options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes", "--sbatch nodes=: expected a whole number from 1"),
        ("nodes=2-4", "--sbatch nodes=2-4: expected a whole number from 1"),
        ("nodes=0", "--sbatch nodes=0: expected a whole number from 1"),
        ("cpus-per-task=many", "--sbatch cpus-per-task=many: expected a whole number from 1"),
        ("gpus-per-node=all", "--sbatch gpus-per-node=all: expected a number of GPUs, such as gpus-per-node=4"),
        ("gres=gpu:a:b", "such as gres=gpu:4"),
        ("gpus-per-node=a100:2,h100:2", "expected a number of GPUs"),
        ("time=1 h", "expected NAME=VALUE, such as time=24:00:00"),
        ("time=", "expected NAME=VALUE"),
        ("=3", "expected NAME=VALUE"),
        ("comment=a\n#SBATCH --uid=0", "expected NAME=VALUE"),
        ("-t=3", "expected NAME=VALUE"),
        ("array=0-3", "the job needs its own --array, leave it out"),
        ("signal=TERM", "the job needs its own --signal"),
    ],
)
def test_what_is_no_option_of_sbatch_is_refused(text, message):
    with pytest.raises(MemosweepError) as refused:
        Request.of([text])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(MemosweepError, match="--time is given twice"):
        Request.of(["time=1", "time=2"])
    with pytest.raises(MemosweepError, match="cpus-per-gpu with cpus-per-task: Slurm takes one of them"):
        Request.of(["gpus-per-node=1", "cpus-per-gpu=1", "cpus-per-task=1"])
    with pytest.raises(MemosweepError, match="cpus-per-gpu without GPUs: give gpus-per-node too"):
        Request.of(["cpus-per-gpu=1"])
    with pytest.raises(MemosweepError, match=r"gpus=3: not a multiple of nodes=2, give gpus-per-node"):
        Request.of(["gpus=3", "nodes=2"])


def options(**given):
    named = {"slurm": None, "slurm_array": None, "sbatch": [], "dry_run": False, "search": "grid"}
    named |= {"gpus_per_trial": None, "cpus_per_trial": None, **given}
    return argparse.Namespace(**named), list(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sbatch": ["time=3"]}, "--sbatch goes with --slurm FILE or --slurm-array FILE"),
        ({"slurm": "a", "slurm_array": "b"}, "--slurm with --slurm-array: give one of them"),
        ({"slurm": "a", "dry_run": True}, "--slurm with --dry-run"),
        ({"slurm": "a", "address": "local"}, "--slurm with --address: the job starts a Ray of its own"),
        ({"slurm_array": "a", "max_gpus": 3}, "--slurm-array with --max-gpus"),
        ({"slurm_array": "a", "search": "bisect"}, "--slurm runs it as one job"),
        ({"slurm_array": "a", "resume": True}, "--slurm-array with --resume"),
        ({"slurm_array": "a", "reuse": ["x"]}, "--slurm-array with --reuse"),
        ({"slurm_array": "a", "time_budget": 60.0}, "give it by --sbatch time="),
        ({"slurm_array": "a", "sbatch": ["nodes=2"]}, "each task has one node"),
        ({"slurm_array": "a", "sbatch": ["gpus-per-node=2"]}, "with 2 GPUs a trial"),
        ({"slurm_array": "a", "gpus_per_trial": 0.5}, "with 0.5 GPUs a trial"),
        ({"slurm_array": "a", "gpus_per_trial": "auto"}, "with auto GPUs a trial"),
        ({"slurm_array": "a", "logger": ["wandb"]}, "--slurm-array with --logger"),
        ({"slurm_array": "a", "cpus_per_trial": 2.0, "sbatch": ["gpus=1", "cpus-per-gpu=3"]}, "give one of them"),
        ({"slurm_array": "a", "cpus_per_trial": 0.5}, "--cpus-per-trial 0.5: expected a whole number from 1"),
        ({"slurm_array": "a", "cpus_per_trial": 2.0, "sbatch": ["cpus-per-task=3"]}, "give one of them"),
    ],
)
def test_options_of_a_sweep_that_no_job_can_follow_are_refused(given, message):
    with pytest.raises(MemosweepError) as refused:
        check_options(*options(**given))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "given", [{}, {"slurm": "a", "search": "bisect"}, {"slurm_array": "a", "gpus_per_trial": 1.0}, {"reuse": ["x"]}]
)
def test_others_are_not(given):
    check_options(*options(**given))


def test_the_job_runs_what_was_typed_without_the_options_of_the_job():
    typed = [
        "--values",
        "0",
        "1",
        "--slurm",
        "a.sbatch",
        "--set",
        "seed=3",
        "--sbatch",
        "time=1",
        "nodes=2",
        "--name",
        "x",
    ]
    assert typed_without_slurm(typed) == ["--values", "0", "1", "--set", "seed=3", "--name", "x"]
    assert typed_without_slurm(["--key", "seed", "--slurm-array=a", "--resume"]) == ["--key", "seed", "--resume"]
