"""Damage every kind of file that the project reads, at random, and count what the commands that read it do.

    python -m benchmarks.fuzz --seed 0 --count 200 --out fuzz.json

A command may work (exit code 0) or say in words why not (2). Tracebacks, other codes, silence, hangs and crashes are
failures. `--only "result.json" --index 17 --keep DIR` repeats one run and leaves its files in DIR.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from analysis.commands import COMMANDS
from benchmarks.fuzzing.execution import GOOD, OUTCOMES, WAIT, Run, describe, prepare, run_one, work_through
from benchmarks.fuzzing.seeds import write_seeds
from benchmarks.fuzzing.targets import TARGETS, Target

_IMPORTED = (
    "benchmarks.fuzzing.execution",
    "memo_core.interop",
    "memo_core.measure",
    "sweeps.engine.run.execute",
    *(f"analysis.commands.{name}" for name in COMMANDS),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: %(default)s)")
    parser.add_argument("--count", type=int, default=200, help="damaged files of each kind (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="counts and failures")
    parser.add_argument("--only", nargs="+", metavar="KIND", choices=[target.name for target in TARGETS],
                        help=", ".join(target.name for target in TARGETS))  # fmt: skip
    parser.add_argument("--index", type=int, help="only this run of each kind")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --index: leave the damaged files here")
    parser.add_argument(
        "--timeout", type=float, default=30, help="seconds of computing until a hang (default: %(default)s)"
    )
    parser.add_argument("--every", type=int, default=50, metavar="K",
                        help="each K-th run again in its own process, 0: none (default: %(default)s)")  # fmt: skip
    parser.add_argument("--processes", type=int, default=2, help="at once (default: %(default)s)")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    targets = [target for target in TARGETS if not options.only or target.name in options.only]
    # Networks as small as those of the seed files are slower with more, above all on a busy machine.
    torch.set_num_threads(1)
    # Imports take longer than many runs: one process does them, and the others are its copies.
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(_IMPORTED))
    with tempfile.TemporaryDirectory() as scratch:
        seeds = Path(scratch) / "seeds"
        write_seeds(seeds)
        if options.keep is not None and options.index is not None:
            return _keep(targets, options, seeds)
        with ThreadPoolExecutor(options.processes) as pool:
            # The longest first, so that none is left alone at the end.
            done = list(pool.map(lambda target: _run(target, options, seeds, Path(scratch)), reversed(targets)))
    runs = [run for part in reversed(done) for run in part]
    failures = [run for run in runs if run.outcome not in GOOD]
    _print(targets, runs, failures, time.monotonic() - started)
    if options.out is not None:
        counts = {target.name: _counts(target, runs) for target in targets}
        report = {
            "seed": options.seed,
            "count": options.count,
            "counts": counts,
            "failures": [asdict(run) for run in failures],
        }
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    return int(bool(failures))


def _keep(targets: list[Target], options: argparse.Namespace, seeds: Path) -> int:
    failed = False
    for number, target in enumerate(targets):
        work = options.keep / str(number)
        (run,) = run_one(target, options.index, seeds, work, options.seed, options.timeout, apart=False)
        # The command may have changed its files.
        _, file = prepare(target, options.index, seeds, work, options.seed)
        print(describe(run), file, " ".join(run.command), sep="\n")
        failed |= run.outcome not in GOOD
    return int(failed)


def _run(target: Target, options: argparse.Namespace, seeds: Path, scratch: Path) -> list[Run]:
    """All runs of one kind, in a process that is started again where one of them ends it."""
    pending = list(range(options.count)) if options.index is None else [options.index]
    runs: list[Run] = []
    context = multiprocessing.get_context("forkserver")
    work = scratch / f"work-{TARGETS.index(target)}"
    while pending:
        pipe, end = context.Pipe(duplex=False)
        arguments = (end, target.name, pending, seeds, work, options.seed, options.timeout, options.every)
        process = context.Process(target=work_through, args=arguments)
        process.start()
        end.close()
        outcome = ""
        while pending and not outcome:
            try:
                # The alarm inside does not reach code that never returns to Python.
                if not pipe.poll(2 * WAIT * options.timeout):
                    outcome = "hang"
                elif (found := pipe.recv()) is not None:
                    runs += found
                    pending.pop(0)
            except EOFError:
                outcome = "crash"
        if outcome:
            command, _ = prepare(target, pending[0], seeds, work, options.seed)
            process.kill()
            process.join()
            if (process.exitcode or 0) > 0:
                # Commands are killed by signals or end in exceptions, which are counted inside.
                raise RuntimeError(f"{target.name} {pending[0]}: the benchmark itself failed, see above")
            runs.append(Run(target.name, pending.pop(0), outcome, command, f"process exit code {process.exitcode}"))
        process.join()
    failed = [run for run in runs if run.outcome not in GOOD]
    print(f"{target.name}: {len(failed)} failures", *map(describe, failed), sep="\n  ", file=sys.stderr, flush=True)
    return runs


def _counts(target: Target, runs: list[Run]) -> dict[str, int]:
    counted = Counter(run.outcome for run in runs if run.target == target.name and run.in_process)
    apart = [run for run in runs if run.target == target.name and not run.in_process]
    counted["disagreement"] = sum(run.outcome == "disagreement" for run in apart)
    return {**{outcome: counted[outcome] for outcome in OUTCOMES}, "apart": len(apart)}


def _print(targets: list[Target], runs: list[Run], failures: list[Run], seconds: float) -> None:
    table = Table("damaged", *OUTCOMES, "in a process of its own")
    for target in targets:
        table.add_row(target.name, *(str(count) for count in _counts(target, runs).values()))
    Console(width=160).print(table)
    in_process = sum(run.in_process for run in runs)
    print(f"{in_process:,} damaged files, {len(failures):,} failures, {seconds / 60:.1f} min")


if __name__ == "__main__":
    sys.exit(main())
