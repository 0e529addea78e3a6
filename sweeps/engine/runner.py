"""Start or resume a sweep under `tune.Tuner`, and write its outcome."""

import os
import signal
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import fsspec
from ray import tune

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, FlatExperiment
from sweeps.engine import ray_session
from sweeps.engine.data_check import check_data
from sweeps.engine.factor import Factor, moved_keys
from sweeps.engine.manifest import Manifest, describe_run
from sweeps.engine.outcome import write_outcome
from sweeps.engine.progress import LiveProgress
from sweeps.engine.space import grid_space, point_space, trial_directory, trial_title
from sweeps.engine.trainable import train_trial

CHECKPOINTS_KEPT = 2


def start_sweep(
    factor: Factor,
    trials: Sequence[FlatExperiment],
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
    if _exists(run_path):
        raise MemosweepError(f"{run_path} exists: --resume finishes it, --name starts another")
    check_data(trials)
    manifest = describe_run(
        factor=factor.name,
        key=factor.key,
        title=factor.title,
        scale=factor.scale,
        preset=preset,
        moved=moved_keys(trials),
        trials=list(trials),
        resources=resources,
        max_failures=max_failures,
        search="grid",
    )
    manifest.write(run_path)
    ray_session.start()
    return _fit(_new_tuner(manifest, storage, name), run_path, manifest)


def resume_sweep(factor: Factor, storage: str, name: str | None) -> int:
    """Finish an interrupted run; a finished one only gets its outcome written again.

    Raises:
        MemosweepError: there is no such run.
    """
    storage = ray_session.absolute(storage)
    name = name or _latest_run(storage, factor.name)
    run_path = f"{storage}/{name}"
    manifest = Manifest.read(run_path)
    if manifest.factor != factor.name:
        raise MemosweepError(f"{run_path} is a run of {manifest.factor}, not of {factor.name}")
    check_data(manifest.trials)
    ray_session.start()
    if tune.Tuner.can_restore(run_path):
        tuner = tune.Tuner.restore(
            run_path,
            trainable=_trainable(manifest),
            resume_unfinished=True,
            restart_errored=True,
        )
    else:
        # Killed before the first snapshot: nothing was trained yet.
        tuner = _new_tuner(manifest, storage, name)
    return _fit(tuner, run_path, manifest)


def _trainable(manifest: Manifest) -> Any:
    return tune.with_resources(train_trial, manifest.resources)


def _new_tuner(manifest: Manifest, storage: str, name: str) -> tune.Tuner:
    space, search = grid_space(manifest.trials), None
    if space is None:
        space, search = point_space(manifest.trials)
    return tune.Tuner(
        _trainable(manifest),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="best_memorization_ratio",
            mode="max",
            num_samples=len(manifest.trials) if search else 1,
            search_alg=search,
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
            callbacks=[LiveProgress(manifest.factor, manifest.moved, len(manifest.trials))],
        ),
    )


def _fit(tuner: tune.Tuner, run_path: str, manifest: Manifest) -> int:
    # Tune answers the first SIGINT by saving its state; a polite kill deserves the same.
    previous = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        results = tuner.fit()
    finally:
        signal.signal(signal.SIGTERM, previous)
    unfinished = len(manifest.trials) - sum(1 for result in results if result.error is None and _is_finished(result))
    errors = results.num_errors
    write_outcome(run_path, manifest)
    name = run_path.rpartition("/")[2]
    if unfinished > errors:
        print(f"interrupted with {unfinished} of {len(manifest.trials)} trials unfinished; finish them with "
              f"--resume --name {name}", flush=True)  # fmt: skip
        return 130
    if errors:
        print(f"{errors} of {len(manifest.trials)} trials failed, see error.txt in their folders; "
              f"--resume --name {name} tries them again", flush=True)  # fmt: skip
        return 1
    return 0


def _is_finished(result: Any) -> bool:
    # Tune marks the end of a function trainable in memory only, so a restored run is judged by its budget.
    if not result.metrics or "images_seen" not in result.metrics:
        return False
    experiment = Experiment.from_flat(result.config)
    trained = experiment.model.architecture != "optimum"
    return not trained or result.metrics["images_seen"] >= experiment.total_images


def _exists(run_path: str) -> bool:
    try:
        filesystem, path = fsspec.core.url_to_fs(run_path)
        return bool(filesystem.exists(path))
    except (OSError, ValueError, ImportError) as error:
        raise MemosweepError(f"--storage-path: {run_path} cannot be reached ({error})") from None


def _latest_run(storage: str, factor: str) -> str:
    filesystem, path = fsspec.core.url_to_fs(storage)
    found = filesystem.glob(f"{path}/{factor}-*/sweep.json")
    if not found:
        raise MemosweepError(f"--resume: {storage} holds no run of {factor} with a default name, give --name")
    return str(sorted(found)[-1]).split("/")[-2]
