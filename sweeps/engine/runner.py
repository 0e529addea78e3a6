"""Start or resume a sweep under `tune.Tuner`, and write its outcome."""

import contextlib
import os
import signal
from datetime import datetime
from functools import partial
from typing import Any

import fsspec
from ray import tune
from ray.exceptions import RayError
from ray.tune import TuneError

from memo_core.command_line import INTERRUPTED
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from sweeps.engine import ray_session
from sweeps.engine.data_check import check_data
from sweeps.engine.emm_search import saved_search
from sweeps.engine.factor import Factor
from sweeps.engine.manifest import FILE as MANIFEST
from sweeps.engine.manifest import Manifest, describe_run
from sweeps.engine.outcome import write_outcome
from sweeps.engine.plan import Plan
from sweeps.engine.progress import LiveProgress
from sweeps.engine.run_lock import FILE as LOCK
from sweeps.engine.run_lock import only_driver
from sweeps.engine.space import METRIC, trial_directory, trial_title
from sweeps.engine.strategy import strategy_of, trainable_of

CHECKPOINTS_KEPT = 2


def start_sweep(
    factor: Factor,
    plan: Plan,
    preset: str,
    resources: dict[str, float],
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
    storage = ray_session.absolute(storage)
    name = name or f"{factor.name}-{datetime.now():%Y%m%d-%H%M%S}"
    run_path = f"{storage}/{name}"
    _refuse_existing(run_path)
    check_data([*plan.trials, *plan.probes])
    manifest = describe_run(
        factor=factor.name,
        key=factor.key,
        preset=preset,
        moved=plan.moved,
        trials=plan.trials,
        resources=resources,
        max_failures=max_failures,
        search=plan.search,
        search_settings=plan.settings,
    )
    with only_driver(run_path):
        _refuse_existing(run_path)  # another start may have been faster
        manifest.write(run_path)
        _starting()
        return _fit(_new_tuner(factor, manifest, storage, name), run_path, manifest)


def resume_sweep(factor: Factor, storage: str, name: str | None) -> int:
    """Finish an interrupted run; a finished one only gets its outcome written again.

    Raises:
        MemosweepError: there is no such run, or another process is at it.
    """
    storage = ray_session.absolute(storage)
    name = name or _latest_run(storage, factor.name)
    run_path = f"{storage}/{name}"
    manifest = Manifest.read(run_path)
    if manifest.factor != factor.name:
        raise MemosweepError(f"{run_path} is a run of {manifest.factor}, not of {factor.name}")
    with only_driver(run_path):
        check_data(manifest.trials)
        print(f"resuming {run_path}", flush=True)
        _starting()
        if tune.Tuner.can_restore(run_path):
            tuner = tune.Tuner.restore(
                run_path, trainable=trainable_of(manifest), resume_unfinished=True, restart_errored=True
            )
        else:
            # Killed before the first snapshot: nothing was trained yet.
            tuner = _new_tuner(factor, manifest, storage, name)
        return _fit(tuner, run_path, manifest)


def _starting() -> None:
    """Ray takes seconds to start, half a minute on a busy machine."""
    print("starting Ray ...", flush=True)
    ray_session.start()


def _new_tuner(factor: Factor, manifest: Manifest, storage: str, name: str) -> tune.Tuner:
    strategy = strategy_of(factor, manifest)
    total = {"grid": len(manifest.trials), "optuna": manifest.search_settings.get("num_trials")}.get(manifest.search)
    return tune.Tuner(
        trainable_of(manifest),
        param_space=strategy.space,
        tune_config=tune.TuneConfig(
            # A scheduler and a searcher know the metric already.
            **({} if strategy.searcher is not None else {"metric": METRIC, "mode": "max"}),
            **({} if strategy.scheduler is None else {"metric": METRIC, "mode": manifest.search_settings["direction"]}),
            num_samples=strategy.num_samples,
            search_alg=strategy.searcher,
            scheduler=strategy.scheduler,
            reuse_actors=True,
            trial_name_creator=partial(trial_title, moved=manifest.moved),
            trial_dirname_creator=partial(trial_directory, moved=manifest.moved),
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=storage,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=manifest.max_failures),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
            callbacks=[
                LiveProgress(manifest.factor, manifest.moved, total, manifest.search_settings.get("target")),
            ],
        ),
    )


def _fit(tuner: tune.Tuner, run_path: str, manifest: Manifest) -> int:
    # Tune answers the first SIGINT by saving its state; a polite kill deserves the same.
    previous = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    name = run_path.rpartition("/")[2]
    try:
        results = tuner.fit()
    except (RayError, TuneError, RuntimeError) as error:
        # Lost workers or memory: what was reported is on disk.
        write_outcome(run_path, manifest)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        print(f"the sweep broke off ({reason}); finish it with --resume --name {name}", flush=True)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    finished = sum(result.error is None and _is_finished(result, manifest) for result in results)
    errors = results.num_errors
    write_outcome(run_path, manifest)
    unfinished = _unfinished(manifest, run_path, finished, errors, len(results))
    if unfinished:
        print(f"interrupted{unfinished}; finish it with --resume --name {name}", flush=True)
        return INTERRUPTED
    if errors:
        print(
            f"{errors} of {len(results)} trials failed, see error.txt in their folders; "
            f"--resume --name {name} tries them again",
            flush=True,
        )
        return 1
    return 0


def _unfinished(manifest: Manifest, run_path: str, finished: int, errors: int, started: int) -> str:
    """What an interrupted run still lacks, in words; empty for a finished one."""
    if manifest.search == "bisect":
        search = saved_search(run_path)
        done = search is not None and search.finished and finished + errors == started
        return "" if done else " before every value had its EMM"
    total = manifest.search_settings["num_trials"] if manifest.search == "optuna" else len(manifest.trials)
    missing = total - finished - errors
    return f" with {missing} of {total} trials unfinished" if missing > 0 else ""


def _is_finished(result: Any, manifest: Manifest) -> bool:
    # Tune marks the end of a function trainable in memory only, so a restored run is judged by its budget.
    if not result.metrics or "images_seen" not in result.metrics:
        return False
    if result.metrics.get("verdict", "full") != "full" or manifest.search_settings.get("asha"):
        return True
    experiment = Experiment.from_flat(result.config)
    trained = experiment.model.architecture != "optimum"
    return not trained or result.metrics["images_seen"] >= experiment.total_images


def _exists(run_path: str) -> bool:
    try:
        filesystem, path = fsspec.core.url_to_fs(run_path)
        return bool(filesystem.exists(path))
    except (OSError, ValueError, ImportError) as error:
        raise MemosweepError(f"--storage-path: {run_path} cannot be reached ({error})") from None


def _refuse_existing(run_path: str) -> None:
    """Raise MemosweepError for a run, or a folder of something else.

    A lock alone is that of this start, or of one that was killed before it had written anything.
    """
    if _exists(f"{run_path}/{MANIFEST}"):
        raise MemosweepError(f"{run_path} exists: --resume finishes it, --name starts another")
    if not _exists(run_path):
        return
    filesystem, path = fsspec.core.url_to_fs(run_path)
    if any(not str(name).endswith(f"/{LOCK}") for name in filesystem.ls(path, detail=False)):
        raise MemosweepError(f"{run_path} exists and is no run of a sweep: give another --name or --storage-path")


def _latest_run(storage: str, factor: str) -> str:
    try:
        filesystem, path = fsspec.core.url_to_fs(storage)
        found = [str(file).split("/")[-2] for file in filesystem.glob(f"{path}/*/{MANIFEST}")]
    except (OSError, ValueError, ImportError) as error:
        raise MemosweepError(f"--storage-path: {storage} cannot be reached ({error})") from None
    started = {}
    for name in found:
        with contextlib.suppress(MemosweepError):  # of another tool, or of another version
            manifest = Manifest.read(f"{storage}/{name}")
            if manifest.factor == factor:
                started[name] = (manifest.started, name)
    if not started:
        raise MemosweepError(f"--resume: {storage} holds no run of {factor}, give --storage-path or --name")
    return max(started, key=started.__getitem__)
