"""What a sweep's driver costs: 1,000 trivial trials through the engine and through bare Tune, and their resume.

    python -m benchmarks.driver_overhead --write

Both train the same experiments (the closed-form optimum of 4 digits, 4 samples) by the same function, which writes each
trial's results and samples; two at a time, on processes that are used again, each run in a driver and a Ray of its own,
one after the other in turn. Bare Tune is `tune.Tuner(...).fit()` over the list of experiments, without loggers and
without snapshots of its state; beyond it, the engine keeps a journal, a display and the run's folder. Times are those
of `fit()`, without the start of Ray, which both have.
"""

import argparse
import json
import os
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from memo_core.terminal import Parser

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results/driver_overhead.json"
_SCRIPT = REPOSITORY / "sweeps/optimum.py"
_MIB = 2**20
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Fit:
    """One run of Tune.

    Attributes:
        seconds: of `fit()`.
        driver_seconds: of computing in the driver's process within it.
        memory: the driver's resident memory in MiB when the first tenth, each further tenth, and all of the time
            had gone.
    """

    seconds: float
    driver_seconds: float
    memory: Sequence[float]


class Measured:
    """Measures what is called through it."""

    def __init__(self) -> None:
        self.fit: Fit | None = None

    def __call__(self, call: Callable[[], Any]) -> Any:
        """Call something once; `fit` holds how it went."""
        sizes: list[float] = []
        over = threading.Event()
        watch = threading.Thread(target=_watch_memory, args=(sizes, over))
        watch.start()
        begun, computed = time.perf_counter(), time.process_time()
        try:
            return call()
        finally:
            seconds, driver_seconds = time.perf_counter() - begun, time.process_time() - computed
            over.set()
            watch.join()
            self.fit = Fit(round(seconds, 2), round(driver_seconds, 2), tenths(sizes))


def tenths(sizes: Sequence[float]) -> list[float]:
    """Return ten of many values, at the ends of equal parts."""
    return [round(sizes[max(0, len(sizes) * part // 10 - 1)], 1) for part in range(1, 11)] if sizes else []


def growth(memory: Sequence[float]) -> float:
    """Return by how many MiB memory grew over the second half, where all that is loaded once is loaded."""
    return round(memory[-1] - memory[len(memory) // 2 - 1], 1)


def _watch_memory(sizes: list[float], over: threading.Event) -> None:
    process = psutil.Process()
    while True:
        sizes.append(process.memory_info().rss / _MIB)
        if over.wait(_LOOK_SECONDS):
            return


def fit_engine(storage: Path, trials: int) -> Fit:
    """Run trivial trials by their sweep script, in this process."""
    from ray import tune  # noqa: PLC0415 - after the engine's settings, and only in a child

    measured, fit = Measured(), tune.Tuner.fit
    tune.Tuner.fit = lambda tuner: measured(lambda: fit(tuner))
    sys.argv = [str(_SCRIPT), *_options(trials), "--storage-path", str(storage), "--name", "engine"]
    try:
        runpy.run_path(str(_SCRIPT), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    assert measured.fit is not None
    return measured.fit


def fit_bare(storage: Path, trials: int) -> Fit:
    """Run the same trials by Tune alone, in this process."""
    from sweeps.engine.cluster import session  # noqa: PLC0415, I001 - it sets what Ray reads when it is imported
    from ray import tune  # noqa: PLC0415
    from sweeps.engine.plans.factor import Selection  # noqa: PLC0415
    from sweeps.engine.plans.names import trial_directory  # noqa: PLC0415
    from sweeps.engine.plans.plan import grid_plan  # noqa: PLC0415
    from sweeps.engine.tune.trial.trainable import TrialOptions  # noqa: PLC0415
    from sweeps.optimum import FACTOR  # noqa: PLC0415

    selection = Selection("laptop", values=["ode"], sizes=[4], settings=SETTINGS, repeats=trials // 2)
    plan = grid_plan(FACTOR, selection)
    # A trial makes its own folder alone.
    (storage / "bare").mkdir(parents=True)
    options = TrialOptions(str(storage / "bare"), 600.0)
    session.start()
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train_listed, options=options), {"cpu": 1, "gpu": 0}),
        param_space={"experiment": tune.grid_search([trial.to_flat() for trial in plan.trials])},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial_directory(trial.config["experiment"], plan.varied),
        ),
        run_config=tune.RunConfig(name="tune", storage_path=str(storage / "scratch"), verbose=0),
    )
    measured = Measured()
    results = measured(tuner.fit)
    session.stop()
    assert (len(results), results.num_errors) == (trials, 0)
    assert measured.fit is not None
    return measured.fit


def train_listed(config: dict[str, Any], options: Any) -> None:
    """Do in bare Tune what a trial of the engine does."""
    from sweeps.engine.tune.trial.trainable import train_trial  # noqa: PLC0415

    train_trial(config["experiment"], options)


FITS = {"engine": fit_engine, "bare": fit_bare}


def measure(storage: Path, which: str, trials: int) -> Fit:
    """Run trivial trials in a driver of their own.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    command = [sys.executable, "-m", "benchmarks.driver_overhead", "--child", which, "--trials", str(trials)]
    done = subprocess.run([*command, "--storage", str(storage)], cwd=REPOSITORY, env=environment(), check=True,
                          stdout=subprocess.PIPE, text=True)  # fmt: skip
    return Fit(**json.loads(done.stdout.splitlines()[-1]))


def resume(storage: Path) -> dict[str, float]:
    """Resume the engine's finished run.

    Returns:
        seconds until its table is written, and computing_seconds of the driver and all that it waited for; both with
        the start of Ray.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    table = storage / "engine/table.csv"
    table.unlink()
    begun, computed = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, str(_SCRIPT), "--resume", "--storage-path", str(storage), "--name", "engine"]
    subprocess.run(command, cwd=REPOSITORY, env=environment(), check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    computing = used.ru_utime + used.ru_stime - computed.ru_utime - computed.ru_stime
    return {"seconds": round(table.stat().st_mtime - begun, 1), "computing_seconds": round(computing, 1)}


def environment() -> dict[str, str]:
    """Return the environment of a driver that starts a Ray of its own and imports this repository."""
    there = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    return {**there, "PYTHONPATH": str(REPOSITORY)}


SETTINGS = {"evaluation.num_samples": 4, "evaluation.steps": 2, "evaluation.batch_size": 4}
"""Of a trial, that takes as little time as one can."""


def _options(trials: int) -> list[str]:
    changes = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    return ["--preset", "laptop", "--values", "ode", "--sizes", "4", "--repeats", str(trials // 2), *changes]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = Parser(prog="python -m benchmarks.driver_overhead", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--trials", type=int, default=1000, help="an even number (default: %(default)s)")
    parser.add_argument("--bare-trials", type=int, default=200, metavar="N",
                        help="of bare Tune, which may start a process a trial (default: %(default)s)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=2, help="of each in turn (default: %(default)s)")
    parser.add_argument("--resumes", type=int, default=3, help="of the finished run (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"write the numbers to {RESULTS.relative_to(REPOSITORY)}")
    parser.add_argument("--child", choices=list(FITS), help=argparse.SUPPRESS)
    parser.add_argument("--storage", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(asdict(FITS[options.child](options.storage, options.trials))), flush=True)
        return 0
    fits: dict[str, list[Fit]] = {"engine": [], "bare": []}
    counts = {"engine": options.trials, "bare": min(options.trials, options.bare_trials)}
    resumes: list[dict[str, float]] = []
    for round_number in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
            # Which is first changes, since the machine's other work does.
            for which in list(fits) if round_number % 2 else reversed(fits):
                fits[which].append(measure(Path(folder), which, counts[which]))
                print(f"{which}: {fits[which][-1]}", file=sys.stderr, flush=True)
            if round_number == options.rounds - 1:
                resumes = [resume(Path(folder)) for _ in range(options.resumes)]
    report = report_of(fits, resumes, counts)
    # A line for each entry, however many numbers it has.
    text = "{\n" + ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in report.items()) + "\n}\n"
    print(text, end="")
    if options.write:
        RESULTS.write_text(text)
    return 0


def report_of(
    fits: dict[str, list[Fit]], resumes: Sequence[dict[str, float]], trials: dict[str, int]
) -> dict[str, Any]:
    """Return what is reported of the runs of both."""
    spent = {name: [1000 * fit.seconds / trials[name] for fit in part] for name, part in fits.items()}
    driver = {name: [1000 * fit.driver_seconds / trials[name] for fit in part] for name, part in fits.items()}
    ratios = [one / other for one, other in zip(spent["engine"], spent["bare"], strict=True)]
    computing = [one / other for one, other in zip(driver["engine"], driver["bare"], strict=True)]
    return {
        "trials": trials,
        "load": [round(load, 1) for load in os.getloadavg()],
        "ms_per_trial": {name: [round(one, 1) for one in part] for name, part in spent.items()},
        "driver_ms_per_trial": {name: [round(one, 1) for one in part] for name, part in driver.items()},
        "ratio": [round(ratio, 2) for ratio in ratios],
        "ratio_median": round(statistics.median(ratios), 2),
        "driver_ratio": [round(ratio, 2) for ratio in computing],
        "memory_mib": {name: [list(fit.memory) for fit in part] for name, part in fits.items()},
        "memory_growth_mib": {name: [growth(fit.memory) for fit in part] for name, part in fits.items()},
        "resumes": list(resumes),
    }


if __name__ == "__main__":
    sys.exit(main())
