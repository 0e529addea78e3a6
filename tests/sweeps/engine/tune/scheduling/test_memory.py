"""Trials that lack memory beside others get a GPU of their own."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sweeps.engine.tune.scheduling.memory import give_whole_gpu, is_packed

FAILURE = "Failure # 1 (occurred at 2026)\nRayTaskError(MemoryExhaustedError): ...\n{}: out of memory in training"
OTHER = "\nFailure # 2 (occurred at 2026)\nValueError: another"


def failed(folder, text, gpus=0.25, status="ERROR"):
    """A trial of Tune after a failure; returns what it is given then."""
    (folder / "error.txt").write_text(text)
    given = []
    give_whole_gpu(
        SimpleNamespace(
            status=status,
            local_path=str(folder),
            placement_group_factory=SimpleNamespace(bundles=[{"CPU": 2.0, "GPU": gpus}]),
            update_resources=given.append,
        )
    )
    return given


def test_only_trials_that_share_a_gpu_and_lack_memory_get_a_whole_one(tmp_path):
    text = FAILURE.format("memo_core.errors.MemoryExhaustedError")
    assert failed(tmp_path, text) == [{"cpu": 2.0, "gpu": 1}]
    assert failed(tmp_path, text, gpus=1.0) == []
    assert failed(tmp_path, text, gpus=0.0) == []
    assert failed(tmp_path, text + OTHER) == []
    # One that is given up is still running when Tune says so.
    assert failed(tmp_path, text, status="RUNNING") == []


def test_a_share_is_a_part_of_one_gpu():
    assert [is_packed({"GPU": gpus}) for gpus in (0, 0.5, 1, 4)] == [False, True, False, False]
    assert not is_packed({"CPU": 1})


_SCRIPT = """
import json, sys, tempfile
import ray
from ray import tune
from memo_core.errors import MemoryExhaustedError
from sweeps.engine.tune.scheduling.memory import InTurn

def train(config):
    share = tune.get_context().get_trial_resources().bundles[0]["GPU"]
    with open(config["log"], "a") as log:
        log.write(f"{config['number']} {share:g}\\n")
    if config["number"] == 1 and share < 1:
        raise MemoryExhaustedError("out of memory in training")
    tune.report({"done_with": share})

ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level=50)
results = tune.Tuner(
    tune.with_resources(train, {"cpu": 0.5, "gpu": 0.25}),
    param_space={"number": tune.grid_search([0, 1, 2]), "log": sys.argv[1]},
    tune_config=tune.TuneConfig(scheduler=InTurn(), reuse_actors=True),
    run_config=tune.RunConfig(
        storage_path=tempfile.mkdtemp(), verbose=0, failure_config=tune.FailureConfig(max_failures=1)
    ),
).fit()
shares = {result.config["number"]: result.metrics["done_with"] for result in results}
print(json.dumps({"shares": shares, "errors": results.num_errors}))
"""


@pytest.mark.ray
def test_tune_starts_such_a_trial_again_on_a_whole_gpu(tmp_path):
    log = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", _SCRIPT, str(log)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {"shares": {"0": 0.25, "1": 1, "2": 0.25}, "errors": 0}
    assert sorted(log.read_text().splitlines()) == ["0 0.25", "1 0.25", "1 1", "2 0.25"]
