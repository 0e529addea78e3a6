"""From a sweep's command line to a job file, before a Slurm that only says whether it would take the job."""

import os
import shlex
import shutil
import time

import psutil
import pytest

from sweeps.engine.plans.manifest import Manifest
from sweeps.engine.plans.names import trial_directory
from tests.sweeps.conftest import settings, wait_for

TRIALS = ["--values", "0", "0.01", "--sizes", "10", *settings()]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="job files are for bash")


@pytest.fixture(autouse=True)
def slurm(tmp_path, monkeypatch):
    """A Slurm that takes every job; returns what makes it refuse them."""
    program = tmp_path / "bin/sbatch"
    program.parent.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def answers(*lines, code=1):
        body = "".join(f"echo {shlex.quote(line)} >&2\n" for line in lines)
        program.write_text(
            f'#!/bin/bash\n[ "$1" = --test-only ] && grep -q "^#SBATCH --requeue" || exit 9\n{body}exit {code}\n'
        )
        program.chmod(0o755)

    answers("sbatch: Job 7 to start at 2026-11-26T07:00:00", code=0)
    return answers


def command_of(text):
    line = next(line for line in text.splitlines() if "weight_decay.py" in line or "emm.py" in line)
    return shlex.split(line.strip().removesuffix("&").removesuffix("\\"))


def test_a_job_begins_the_run_or_finishes_it(script, tmp_path):
    code, said, errors = script(
        "weight_decay", *TRIALS, "--name", "decay", "--slurm", "jobs/a.sbatch", "--sbatch", "time=9"
    )
    assert (code, errors) == (0, "")
    assert said.splitlines() == [
        "preset laptop, since the job asks for no GPUs (--sbatch gpus-per-node=N); "
        "--preset paper is the published study",
        "the job asks for one CPU on a node; --sbatch cpus-per-task=N asks for more",
        f"a job on one node for the run {tmp_path}/results/decay; submit it with: sbatch jobs/a.sbatch",
    ]
    text = (tmp_path / "jobs/a.sbatch").read_text()
    assert command_of(text)[2:] == [
        *TRIALS, "--name", "decay", "--preset", "laptop", "--auto-resume", "--address", "local"
    ]  # fmt: skip
    assert "#SBATCH --time=9\n" in text
    assert not (tmp_path / "results").exists()
    # A job file may be written again.
    assert script("weight_decay", *TRIALS, "--name", "decay", "--slurm", "jobs/a.sbatch")[0] == 0


def test_without_a_name_every_start_of_the_job_has_the_same(script, tmp_path):
    assert script("weight_decay", *TRIALS, "--slurm", "a.sbatch", "--sbatch", "nodes=2")[0] == 0
    words = command_of((tmp_path / "a.sbatch").read_text())
    assert words[words.index("--name") + 1].startswith("weight_decay-20")
    assert words[-2:] == ["--address", "$address"]


def test_scripts_with_options_of_their_own_keep_them(script, tmp_path):
    line = ["--factor", "weight_decay", "--values", "0", "--max-size", "12", *settings()]
    code, _, errors = script("emm", *line, "--slurm", "a.sbatch", "--sbatch", "cpus-per-task=2")
    assert (code, errors) == (0, "")
    assert command_of((tmp_path / "a.sbatch").read_text())[2 : 2 + len(line)] == line


def test_gpus_bring_the_published_study(script, tmp_path, monkeypatch):
    asked = ["--sbatch", "gpus-per-node=4", "--set", "data.dataset=digits", "--sizes", "10"]
    code, said, errors = script("weight_decay", *asked, "--slurm", "a.sbatch", "--gpus-per-trial", "2")
    assert (code, errors) == (0, "")
    assert said.startswith("preset paper, since the job asks for 4 GPUs; --preset laptop is the small study\n")
    code, _, errors = script("weight_decay", *asked, "--slurm", "b.sbatch", "--gpus-per-trial", "8")
    assert (code, errors) == (2, "error: --gpus-per-trial 8: the job asks for 4 GPUs\n")
    assert not (tmp_path / "b.sbatch").exists()


def test_an_array_is_a_run_whose_trials_are_still_to_come(script, tmp_path):
    options = ["--name", "decay", "--max-concurrent", "1", "--cpus-per-trial", "2", "--slurm-array", "a.sbatch"]
    code, said, errors = script("weight_decay", *TRIALS, *options)
    assert (code, errors) == (0, "")
    assert said.splitlines()[-1] == (
        f"an array of 2 tasks for the run {tmp_path}/results/decay; submit it with: sbatch a.sbatch"
    )
    plan = Manifest.read(str(tmp_path / "results/decay")).plan
    text = (tmp_path / "a.sbatch").read_text()
    assert "#SBATCH --array=0-1%1\n" in text
    assert "#SBATCH --cpus-per-task=2\n" in text
    for trial in plan.trials:
        assert trial_directory(trial.to_flat(), plan.varied) in text
    # Written again, it is for the same run; with other options it is not.
    assert script("weight_decay", *TRIALS, *options)[0] == 0
    code, _, errors = script("weight_decay", *TRIALS, *options, "--repeats", "2")
    assert code == 2
    assert "was begun with other options" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slurm", "bin"], "--slurm bin: is a folder, expected a file such as bin/job.sbatch"),
        (["--slurm", "other"], "--slurm other: is a file of something else, name another"),
        (["--slurm", "a b.sbatch"], "expected a file, by a path of letters"),
        (["--slurm", ""], "expected a file"),
        (["--slurm", "other/a.sbatch"], "other: is a file"),
        (["--slurm", "a", "--sizes", "2000"], "digits has only 1,797 images"),
        (["--slurm", "a", "--sbatch", "nodes=many"], "--sbatch nodes=many"),
        (["--slurm", "a", "--name", "taken"], "taken exists and is not the run of a sweep"),
        (["--slurm", "a", "--resume", "--name", "absent"], "is not the run of a sweep"),
        (["--slurm-array", "a", "--storage-path", "memory://x"], "expected a folder that all nodes share"),
        (["--slurm-array", "a", "--search", "optuna"], "--slurm-array with --search optuna"),
        (["--slurm-array", "a", "--set", "model.architecture=optimum"], "optimum"),
        (["--sbatch", "time=3"], "--sbatch goes with --slurm FILE"),
    ],
)
def test_what_would_end_the_job_ends_its_writing(arguments, message, script, tmp_path):
    (tmp_path / "other").write_text("mine\n")
    (tmp_path / "results/taken/x").mkdir(parents=True)
    code, _, errors = script("weight_decay", *arguments)
    assert (code, errors.count("\n")) == (2, 1)
    assert message in errors
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "other").read_text() == "mine\n"


def test_a_refusal_of_slurm_is_one_line_and_leaves_nothing(script, slurm, tmp_path):
    slurm(
        "sbatch: error: Batch job submission failed",
        "allocation failure: Invalid partition name specified",
        'Try "sbatch --help" for more information',
    )
    for option in ("--slurm", "--slurm-array"):
        code, _, errors = script("weight_decay", *TRIALS, option, "a.sbatch")
        assert (code, errors) == (
            2, f"error: {option} a.sbatch: Slurm refuses the job (Invalid partition name specified)\n"
        )  # fmt: skip
    assert not (tmp_path / "a.sbatch").exists()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("option", ["--slurm", "--slurm-array"])
def test_a_slurm_that_does_not_answer_is_waited_for_only_so_long(option, script, tmp_path, monkeypatch):
    monkeypatch.setattr("sweeps.engine.slurm.jobs._ANSWER_SECONDS", 0.5)
    # As a wrapper of sbatch: what it started holds its output open.
    (tmp_path / "bin/sbatch").write_text("#!/bin/bash\nsleep 300 &\necho $! > child\nwait\n")
    begun = time.monotonic()
    code, said, errors = script("weight_decay", *TRIALS, option, "a.sbatch", "--name", "decay")
    assert time.monotonic() - begun < 20
    assert (code, said, errors) == (
        2, "", f"error: {option} a.sbatch: Slurm does not answer within 0.5 s (sbatch --test-only), try again later\n"
    )  # fmt: skip
    assert not (tmp_path / "a.sbatch").exists()
    assert not (tmp_path / "results").exists()
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE, 10)


def test_a_slurm_without_a_controller_is_refused_before_anything_is_looked_at(script, slurm, tmp_path):
    slurm("sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error", "sbatch: fatal: Could not establish a "
          "configuration source")  # fmt: skip
    code, said, errors = script("weight_decay", *TRIALS, "--slurm", "a.sbatch")
    assert (code, said, errors) == (
        2, "", "error: --slurm a.sbatch: Slurm does not answer (Could not establish a configuration source)\n"
    )  # fmt: skip


def test_without_slurm_it_says_so(script, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    code, _, errors = script("weight_decay", *TRIALS, "--slurm", "a.sbatch")
    assert (code, errors) == (
        2,
        "error: --slurm a.sbatch: there is no Slurm here (sbatch is not on PATH), write the job on a login node\n",
    )
