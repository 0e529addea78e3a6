"""The text of a job file."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memo_core.experiment import Experiment, FlatExperiment
from memo_core.experiment.presets import PRESETS, with_settings

MARK = "# Written by memosweep."
"""A file that holds it may be replaced by the next one."""
_SECONDS_BEFORE_END = 180
"""Before the time limit the work is asked to end: Ray and its nodes take up to half a minute."""

_HEAD = """#!/bin/bash
{mark} Submit it with: sbatch {file}
{directives}

cd {folder} || exit 2
export PATH={bin}:"$PATH"
unset RAY_ADDRESS
"""

_END = """
# USR1 comes from Slurm three minutes before the time limit, TERM from scancel and from a preemption. The work ends
# within seconds, saved. After USR1 the job waits for its next turn; whether it does after TERM is up to Slurm.
ended=
finish() {{
    ended=$1
    signaled=yes
    {stop}
}}
trap 'finish USR1' USR1
trap 'finish TERM' TERM

{command} &
work=$!
while true; do
    signaled=
    wait "$work"
    status=$?
    # A signal ends `wait`, too, and says nothing of the work.
    [ -n "$signaled" ] || break
done
{tidy}
# 130 is "interrupted, start it again". Work that breaks off by itself soon after its start would do so again.
if {{ [ "$ended" = USR1 ] && [ "$status" -ge 128 ]; }} ||
    {{ [ -z "$ended" ] && [ "$status" -eq 130 ] && [ "$SECONDS" -ge 600 ]; }}; then
    echo "requeued: exit code $status"
    scontrol requeue "$SLURM_JOB_ID" && sleep 60
fi
exit "$status"
"""

_ONE_NODE = """
# A folder of its own for Ray, so that several jobs may share a node; Ray chooses free ports by itself.
RAY_TMPDIR=$(mktemp -d "/tmp/memosweep-$SLURM_JOB_ID-XXXXXX") || exit 2
export RAY_TMPDIR
"""

_SEVERAL_NODES = """
# Ray listens at the address by which the job's second node reaches this one, and takes nobody without a token.
second=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 2p)
address=$(python -c 'import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect((sys.argv[1], 9))
    print(probe.getsockname()[0])' "$second") || exit 2
address=$address:$((20000 + SLURM_JOB_ID % 10000))
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN
# The same on all nodes, and of this start alone.
RAY_TMPDIR=/tmp/memosweep-$SLURM_JOB_ID-$(python -c 'import secrets; print(secrets.token_hex(3))')
export RAY_TMPDIR
# Nodes may be slow to import Ray; and they end soon after the first one has.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300 RAY_gcs_rpc_server_reconnect_timeout_s=10

# On each node, of which $SLURM_CPUS_ON_NODE is. The driver runs on the first one, as this script does. Its exit code
# goes into a file: that of `ray symmetric-run` depends on how Ray ends. The log leaves out what Ray says of every
# process that it ends.
node='set -o pipefail
mkdir -m 700 "$RAY_TMPDIR" || exit 2
trap "rm -rf \\"$RAY_TMPDIR\\"" EXIT
address=$1; shift
ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$SLURM_CPUS_ON_NODE" \\
    --disable-usage-stats -- bash -c "$driver" driver "$@" 2>&1 |
    grep --line-buffered --invert-match -e "Send termination request" -e "(raylet) "'
export driver='"$@" &
echo $! > "$RAY_TMPDIR/driver"
wait $!
echo $? > "$RAY_TMPDIR.status"'
"""


@dataclass(frozen=True)
class Job:
    """What all job files have."""

    file: Path
    """Absolute; logs lie beside it."""
    name: str
    folder: Path
    """Where it was written, to which relative paths refer."""
    python: Path
    directives: Mapping[str, str] = field(default_factory=dict)
    """Options of `sbatch` by long name, which take the place of the job's own; empty for those without a value."""

    def head(self, **own: str) -> str:
        """Return the lines up to the work; `own` are options of this kind of job, with `_` for `-`."""
        log = self.file.with_suffix("")
        given = {
            "job-name": self.name,
            "nodes": "1",
            "ntasks-per-node": "1",
            "output": f"{log}-%j.log",
            "open-mode": "append",
            "signal": f"B:USR1@{_SECONDS_BEFORE_END}",
            "requeue": "",
            **{name.replace("_", "-"): value for name, value in own.items()},
            **self.directives,
        }
        lines = [f"#SBATCH --{name}{f'={value}' if value else ''}" for name, value in given.items()]
        return _HEAD.format(
            mark=MARK,
            file=shlex.quote(str(self.file)),
            directives="\n".join(lines),
            folder=shlex.quote(str(self.folder)),
            bin=shlex.quote(str(self.python.parent)),
        )


def sweep_job(job: Job, script: Path, arguments: Sequence[str], nodes: int) -> str:
    """Return a job that runs a sweep with Ray, by `ray symmetric-run` where it has several nodes.

    Args:
        job: its name and place.
        script: the sweep's.
        arguments: of the sweep's command line, by which a further start goes on.
        nodes: how many.
    """
    command = shlex.join([str(job.python), str(script), *arguments])
    if nodes == 1:
        end = _END.format(
            stop='kill -TERM "$work" 2> /dev/null',
            command=f"{command} --address local",
            tidy='rm -rf "$RAY_TMPDIR"\n',
        )
        return job.head() + _ONE_NODE + end
    end = _END.format(
        stop='kill -TERM "$(cat "$RAY_TMPDIR/driver" 2> /dev/null || echo "$work")" 2> /dev/null',
        # The step has all that the job has; bound to one CPU it would be by default.
        command=f'srun --ntasks-per-node=1 --cpu-bind=none bash -c "$node" node "$address" \\\n'
        f'    {command} --address "$address"',
        tidy='status=$(cat "$RAY_TMPDIR.status" 2> /dev/null || echo "$status")\nrm -f "$RAY_TMPDIR.status"\n',
    )
    # `ray symmetric-run` refuses a node where another Ray runs, and ends every Ray there in the end.
    return job.head(exclusive="", mem="0") + _SEVERAL_NODES + end


def array_job(
    job: Job, run_path: Path, trials: Mapping[str, Experiment], device: str, at_once: int | None, options: Sequence[str]
) -> str:
    """Return a job that runs each trial as a task of an array, without Ray.

    Args:
        job: its name and place.
        run_path: folder of the run.
        trials: by the name of their folders.
        device: `cpu` or `cuda`.
        at_once: the most tasks at once; None for as many as Slurm starts.
        options: further ones of `python -m memo_core train`.
    """
    preset, common, own = shortest_settings(list(trials.values()))
    cases = [
        f"{number}) set -- {shlex.join([name, *_set(settings)])} ;;"
        for number, (name, settings) in enumerate(zip(trials, own, strict=True))
    ]
    train = shlex.join([str(job.python), "-m", "memo_core", "train", "--preset", preset, *_set(common)])
    further = shlex.join(["--device", device, "--auto-resume", *options])
    work = (
        f'\ncase "$SLURM_ARRAY_TASK_ID" in\n{chr(10).join(cases)}\n*) echo "no trial $SLURM_ARRAY_TASK_ID" >&2; exit 2 '
        f";;\nesac\ntrial=$1; shift\n"
    )
    end = _END.format(
        stop='kill -TERM "$work" 2> /dev/null',
        command=f'{train} "$@" \\\n    --out {shlex.quote(str(run_path))}/"$trial" '
        f'--threads "${{SLURM_CPUS_PER_TASK:-1}}" {further}',
        tidy="",
    )
    array = f"0-{len(trials) - 1}{f'%{at_once}' if at_once is not None else ''}"
    return job.head(array=array, output=f"{job.file.with_suffix('')}-%A_%a.log") + work + end


def shortest_settings(
    trials: Sequence[Experiment],
) -> tuple[str, FlatExperiment, list[FlatExperiment]]:
    """Return the preset from which trials differ least, the changes common to all, and the further ones of each.

    Together they give the trials exactly: `experiment_from(preset, {**common, **own})`.
    """
    flats = [trial.to_flat() for trial in trials]
    by_preset = {}
    for name, settings in PRESETS.items():
        base = Experiment.from_flat(settings).to_flat()
        if base.keys() != flats[0].keys():
            continue  # a model of another kind
        by_preset[name] = [_changes(settings, base, flat) for flat in flats]
    preset = min(by_preset, key=lambda name: sum(map(len, by_preset[name])))
    changes = by_preset[preset]
    first = changes[0]
    common = {key: value for key, value in first.items() if all(key in own and own[key] == value for own in changes)}
    return preset, common, [{key: value for key, value in own.items() if key not in common} for own in changes]


def _changes(preset: Mapping[str, Any], base: FlatExperiment, flat: FlatExperiment) -> FlatExperiment:
    changes = {key: value for key, value in flat.items() if base[key] != value}
    # Another architecture leaves out what the preset says of it, and brings defaults of its own.
    made = Experiment.from_flat(with_settings(preset, changes)).to_flat()
    return changes if made == flat else flat


def _set(settings: FlatExperiment) -> list[str]:
    return [part for key, value in settings.items() for part in ("--set", f"{key}={_text(value)}")]


def _text(value: Any) -> str:
    """Return a value as `parse_value` reads it."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
