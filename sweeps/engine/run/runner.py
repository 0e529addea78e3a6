"""Start or resume a sweep under `tune.Tuner`, and write what it leaves behind."""

import os
import signal
from datetime import datetime
from typing import Literal

from ray import tune
from ray.exceptions import RayError
from ray.tune import TuneError

from analysis.results.store import join_url
from memo_core.errors import MemosweepError, first_line
from memo_core.terminal import INTERRUPTED
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.plans.checks import check_data, check_networks
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import Manifest, describe_run, unreachable
from sweeps.engine.plans.plan import Plan
from sweeps.engine.run import folder
from sweeps.engine.run.artifacts import write_artifacts
from sweeps.engine.run.tally import Tally, tally
from sweeps.engine.tune.emm_searcher import saved_search
from sweeps.engine.tune.optuna_searcher import own_state
from sweeps.engine.tune.snapshot import put_back, remove_copy
from sweeps.engine.tune.state import check_saved_state, saved_state
from sweeps.engine.tune.tuner import new_tuner, restored_tuner, searcher_of


def start_sweep(
    factor: Factor,
    plan: Plan,
    resources: dict[Literal["cpu", "gpu"], float],
    storage: str,
    name: str | None,
    max_failures: int,
) -> int:
    """Check everything that can be checked, then run all trials.

    Returns:
        The exit code: 0 done, 1 some trials failed, 130 interrupted.

    Raises:
        MemosweepError: bad data, an unwritable place, or a run of this name that exists.
    """
    storage = folder.absolute(storage)
    if name is not None:
        folder.check_name(storage, name)
        folder.refuse_existing(join_url(storage, name))
    check_data([*plan.trials, *plan.probes])
    name = name or folder.claim_name(storage, f"{factor.name}-{datetime.now():%Y%m%d-%H%M%S}")
    run_path = join_url(storage, name)
    manifest = describe_run(plan.with_absolute_paths(), resources, max_failures)
    with folder.only_driver(run_path):
        folder.refuse_existing(run_path)  # another start may have been faster
        manifest.write(run_path)
        _start_ray()
        return _fit(new_tuner(factor, manifest, storage, name), run_path, manifest)


def resume_sweep(factor: Factor, storage: str, name: str | None) -> int:
    """Finish an interrupted run; of a finished one only the artifacts are written again.

    Raises:
        MemosweepError: there is no such run, or another process is at it.
    """
    storage = folder.absolute(storage)
    name = name or folder.latest_run(storage, factor.name)
    run_path = join_url(storage, name)
    manifest = Manifest.read(run_path)
    plan = manifest.plan
    if (plan.factor.name, plan.factor.key) != (factor.name, factor.key):
        raise MemosweepError(f"{run_path} is a run of {plan.factor.name} ({plan.factor.key}), not of {factor.name}")
    with folder.only_driver(run_path):
        check_networks(plan.trials)
        check_data(plan.trials)
        put_back(run_path)
        check_saved_state(run_path, searcher_of(factor, plan))
        print(f"resuming {run_path}", flush=True)
        _start_ray()
        with unreachable(f"{run_path} cannot be read"):
            begun = tune.Tuner.can_restore(run_path)
        if not begun:
            # Killed before the first snapshot: nothing was trained yet.
            return _fit(new_tuner(factor, manifest, storage, name), run_path, manifest)
        try:
            return _fit(restored_tuner(run_path, manifest), run_path, manifest)
        except MemosweepError:
            raise
        # Over a damaged state, Tune fails in many ways.
        except Exception as error:
            raise MemosweepError(
                f"{run_path}: Tune's saved state cannot be used ({type(error).__name__}: {first_line(error)}); "
                "the trials that ended can be read, a new sweep trains the others"
            ) from None


def _start_ray() -> None:
    """Ray takes seconds to start, half a minute on a busy machine."""
    print("starting Ray ...", flush=True)
    ray_session.start()


def _fit(tuner: tune.Tuner, run_path: str, manifest: Manifest) -> int:
    # Tune answers the first SIGINT by saving its state; a polite kill deserves the same.
    previous = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        results = tuner.fit()
    except (RayError, TuneError, RuntimeError) as error:
        # Lost workers or memory: what was reported is on disk.
        write_artifacts(run_path, manifest)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        print(f"the sweep broke off ({reason}); finish it with {_resume(run_path)}", flush=True)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    remove_copy(run_path)
    counted = tally(results, manifest.plan)
    write_artifacts(run_path, manifest)
    return _conclusion(run_path, manifest.plan, counted)


def _resume(run_path: str) -> str:
    return f"--resume --name {folder.name_of(run_path)}"


def _conclusion(run_path: str, plan: Plan, counted: Tally) -> int:
    """Say what failed and what is missing; return the exit code."""
    for line in counted.failure_lines():
        print(line, flush=True)
    early = ended_early(run_path, plan)
    if early is not None and counted.ended == counted.started:
        print(f"ended after {counted.started} of {plan.total} trials: {early}", flush=True)
    unfinished = _unfinished(run_path, plan, counted, early)
    if unfinished:
        print(f"interrupted{unfinished}; finish it with {_resume(run_path)}", flush=True)
        return INTERRUPTED
    if counted.errors:
        print(
            f"{counted.errors} of {counted.started} trials failed, see error.txt in their folders; "
            f"{_resume(run_path)} tries them again",
            flush=True,
        )
    return 1 if counted.errors or counted.failures else 0


def ended_early(run_path: str, plan: Plan) -> str | None:
    """Return why a search over ranges proposes no further trial although some are left; None where it does.

    MemosweepError where the saved search is damaged.
    """
    content = saved_state(run_path) if plan.search.kind == "optuna" else None
    return None if content is None else own_state(content, run_path).ended


def _unfinished(run_path: str, plan: Plan, counted: Tally, early: str | None) -> str:
    """Return what an interrupted run still lacks, in words; empty for a finished one."""
    if plan.total is None:
        search = saved_search(run_path)
        done = search is not None and search.finished and counted.ended == counted.started
        return "" if done else " before every value had its EMM"
    missing = (plan.total if early is None else counted.started) - counted.ended
    return f" with {missing} of {plan.total} trials unfinished" if missing > 0 else ""
