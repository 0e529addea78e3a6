import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memo_core.command_line import parse_settings
from memo_core.experiment import Experiment
from memo_core.experiment.presets import PRESETS, experiment_from, with_settings
from sweeps.depth import FACTOR as DEPTH
from sweeps.engine.plans.factor import Selection, trials_of
from sweeps.engine.slurm.script import Job, array_job, shortest_settings, sweep_job
from sweeps.skip_connections import FACTOR as SKIP_CONNECTIONS
from sweeps.time_embedding import FACTOR as TIME_EMBEDDING
from sweeps.weight_decay import FACTOR as WEIGHT_DECAY

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="job files are for bash")


def job(folder, **directives):
    return Job(folder / "jobs/a.sbatch", "decay", folder, Path(sys.executable), directives)


def directives(text):
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    return dict(line.partition("=")[::2] for line in lines)


@pytest.mark.parametrize("factor", [WEIGHT_DECAY, DEPTH, SKIP_CONNECTIONS, TIME_EMBEDDING])
@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_the_settings_of_an_array_give_the_trials_exactly(factor, preset, tmp_path):
    trials = trials_of(factor, Selection(preset=preset))
    text = array_job(job(tmp_path), tmp_path / "run", {f"trial{n}": t for n, t in enumerate(trials)}, "cpu", None, [])
    command = next(line for line in text.splitlines() if "memo_core" in line)
    words = shlex.split(command.partition(' "$@"')[0])
    common = words[words.index("--preset") + 2 :][1::2]
    name = words[words.index("--preset") + 1]
    for number, trial in enumerate(trials):
        case = next(line for line in text.splitlines() if line.startswith(f"{number}) "))
        own = shlex.split(case)[3:-1]
        assert own[0] == f"trial{number}"
        assert experiment_from(name, parse_settings([*common, *own[2::2]])) == trial


@pytest.mark.parametrize(
    "changes",
    [
        {"model.architecture": "ncsnpp"},
        {"model.skip_connections": [1, 0, 1, 1, 0, 1], "data.dataset": "/some place/it's.zip"},
        {"data.labels": "random", "data.num_labels": 5, "training.learning_rate": 1e-17},
        {"training.epochs": 3.5, "evaluation.every_epochs": 1.25},
        {"data.blend_dataset": "cifar10", "data.blend_ratio": 0.5, "evaluation.fid": True},
    ],
)
def test_any_experiment_is_written_so_that_it_is_read_back(changes, tmp_path):
    trial = Experiment.from_flat(with_settings(PRESETS["laptop"], changes))
    preset, common, (own,) = shortest_settings([trial])
    assert experiment_from(preset, {**common, **own}) == trial
    text = array_job(job(tmp_path), tmp_path, {"t": trial}, "cpu", None, [])
    words = shlex.split(next(line for line in text.splitlines() if "memo_core" in line).partition(' "$@"')[0])
    settings = words[words.index("--set") :]
    assert experiment_from(words[words.index("--preset") + 1], parse_settings(settings[1::2])) == trial


def test_what_jobs_ask_of_slurm(tmp_path):
    one = directives(sweep_job(job(tmp_path, time="9", nodelist="n1"), tmp_path / "s.py", [], 1))
    assert (one["time"], one["nodelist"], one["nodes"], one["requeue"]) == ("9", "n1", "1", "")
    assert one["signal"].startswith("B:USR1@")
    assert one["output"] == f"{tmp_path}/jobs/a-%j.log"
    assert "exclusive" not in one
    # Where Ray ends every Ray on its nodes, they must be the job's alone.
    several = directives(sweep_job(job(tmp_path, nodes="2", mem="8G"), tmp_path / "s.py", [], 2))
    assert (several["nodes"], several["exclusive"], several["mem"]) == ("2", "", "8G")
    trials = dict.fromkeys("abc", Experiment.from_flat(PRESETS["laptop"]))
    array = directives(array_job(job(tmp_path), tmp_path, trials, "cuda", 2, []))
    assert array["array"] == "0-2%2"


@pytest.mark.parametrize("nodes", [1, 2])
def test_bash_takes_them_whatever_paths_and_values_are(nodes, tmp_path):
    place = tmp_path / "it's a $HOME"
    text = sweep_job(job(place), place / "s.py", ["--set", "data.dataset=a b'\"$(date)"], nodes)
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.fixture
def started(tmp_path):
    """Start a sweep's job whose sweep is a small script, and whose Slurm only notes that it is to be requeued."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "scontrol").write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/requeued\nexit 1\n')
    (tools / "scontrol").chmod(0o755)
    running = []

    def start(body):
        sweep = tmp_path / "sweep.py"
        sweep.write_text(f"import os, pathlib, signal, sys, time\nhere = pathlib.Path({str(tmp_path)!r})\n{body}\n")
        file = tmp_path / "job.sh"
        file.write_text(sweep_job(job(tmp_path), sweep, ["a b"], 1))
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "RAY_ADDRESS": "x:1"}
        running.append(subprocess.Popen(["bash", str(file)], env=environment, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


WAITS = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))
(here / "ready").touch()
time.sleep(60)
"""


def wait_for(file):
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "code", "is_requeued"),
    [
        (signal.SIGUSR1, 130, True),
        (signal.SIGUSR1, 0, False),  # done just then
        (signal.SIGUSR1, 1, False),
        (signal.SIGTERM, 130, False),  # canceled
    ],
)
def test_a_job_that_is_signaled_ends_its_sweep_and_is_requeued_where_that_goes_on(
    started, tmp_path, number, code, is_requeued
):
    process = started(WAITS.format(code=code))
    wait_for(tmp_path / "ready")
    process.send_signal(number)
    assert process.wait(timeout=60) == code
    assert (tmp_path / "requeued").exists() is is_requeued
    if is_requeued:
        assert (tmp_path / "requeued").read_text() == "requeue 7\n"


def test_a_sweep_that_a_signal_met_while_it_was_starting_is_requeued_too(started, tmp_path):
    process = started('(here / "ready").touch()\ntime.sleep(60)')
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert (tmp_path / "requeued").exists()


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_a_sweep_that_ends_by_itself_is_not_requeued_soon_after_its_start(started, tmp_path, code):
    """And it has a folder for Ray of its own, which is gone in the end, and no other Ray."""
    process = started(
        "folder = os.environ['RAY_TMPDIR']\n"
        "seen = [folder, *sys.argv[1:], str('RAY_ADDRESS' in os.environ), str(pathlib.Path(folder).is_dir())]\n"
        f"(here / 'seen').write_text(chr(10).join(seen))\nsys.exit({code})"
    )
    assert process.wait(timeout=60) == code
    assert not (tmp_path / "requeued").exists()
    folder, *arguments, has_address, was_there = (tmp_path / "seen").read_text().splitlines()
    assert (arguments, has_address, was_there) == (["a b", "--address", "local"], "False", "True")
    assert folder.startswith("/tmp/memosweep-7-")
    assert not Path(folder).exists()


def test_a_task_of_an_array_trains_the_trial_of_its_number(tmp_path):
    trials = {
        "small": experiment_from("laptop", {"data.size": 10}),
        "large": experiment_from("laptop", {"data.size": 20}),
    }
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/bash\n{sys.executable} -c "import json, sys; print(json.dumps(sys.argv[1:]))" "$@"\n')
    python.chmod(0o755)
    written = Job(tmp_path / "a.sbatch", "decay", tmp_path, python)
    text = array_job(written, tmp_path / "a run", trials, "cpu", None, ["--checkpoint-every", "5s"])
    for number, (name, size) in enumerate((("small", 10), ("large", 20))):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number), "SLURM_CPUS_PER_TASK": "3"}
        done = subprocess.run(["bash"], input=text, text=True, env=environment, capture_output=True, check=True)
        words = json.loads(done.stdout)
        assert words[:3] == ["-m", "memo_core", "train"]
        assert words[words.index("--out") + 1] == f"{tmp_path}/a run/{name}"
        assert words[words.index("--threads") + 1] == "3"
        assert (f"data.size={size}" in words) or size == 10
        assert words[-3:] == ["--auto-resume", "--checkpoint-every", "5s"]
    environment["SLURM_ARRAY_TASK_ID"] = "2"
    assert (
        subprocess.run(["bash"], input=text, text=True, env=environment, capture_output=True, check=False).returncode
        == 2
    )
