"""Start or resume a sweep under `tune.Tuner`, and write its outcome."""

import contextlib
import itertools
import os
import re
import secrets
import signal
from datetime import datetime
from functools import partial
from pathlib import Path

from ray import tune
from ray.exceptions import RayError
from ray.tune import TuneError

from analysis.results.urls import is_local, join_url, open_location
from memo_core.command_line import INTERRUPTED
from memo_core.errors import MemosweepError, first_line, quoted
from sweeps.engine.cluster import session as ray_session
from sweeps.engine.plans.factor import Factor
from sweeps.engine.plans.manifest import FILE as MANIFEST
from sweeps.engine.plans.manifest import Manifest, describe_run
from sweeps.engine.plans.names import METRIC, trial_directory, trial_title
from sweeps.engine.plans.paths import absolute_paths
from sweeps.engine.plans.plan import Plan
from sweeps.engine.plans.search_settings import BisectSettings, OptunaSettings
from sweeps.engine.run.artifacts import write_outcome
from sweeps.engine.run.data_check import check_data, check_networks
from sweeps.engine.run.lock import FILE as LOCK
from sweeps.engine.run.lock import only_driver
from sweeps.engine.run.tally import Tally, tally
from sweeps.engine.tune.emm_searcher import saved_search
from sweeps.engine.tune.optuna_searcher import own_state
from sweeps.engine.tune.progress import LiveProgress
from sweeps.engine.tune.searcher_state import saved_state
from sweeps.engine.tune.tune_state import check_saved_state
from sweeps.engine.tune.tuner import strategy_of, trainable_of

CHECKPOINTS_KEPT = 2
_MAX_NAME_BYTES = 200
"""File systems take 255, and Ray puts endings behind it."""


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
    if name is not None:
        _check_name(storage, name)
        _refuse_existing(join_url(storage, name))
    check_data([*plan.trials, *plan.probes])
    name = name or claim_name(storage, f"{factor.name}-{datetime.now():%Y%m%d-%H%M%S}")
    run_path = join_url(storage, name)
    manifest = describe_run(
        factor=factor.name,
        key=factor.key,
        preset=preset,
        moved=plan.moved,
        # A preset names images by a path, too.
        trials=[absolute_paths(trial) for trial in plan.trials],
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
    run_path = join_url(storage, name)
    manifest = Manifest.read(run_path)
    if (manifest.factor, manifest.key) != (factor.name, factor.key):
        raise MemosweepError(f"{run_path} is a run of {manifest.factor} ({manifest.key}), not of {factor.name}")
    with only_driver(run_path):
        check_networks(manifest.trials)
        check_data(manifest.trials)
        check_saved_state(run_path, strategy_of(factor, manifest).searcher)
        print(f"resuming {run_path}", flush=True)
        _starting()
        if not _can_restore(run_path):
            # Killed before the first snapshot: nothing was trained yet.
            return _fit(_new_tuner(factor, manifest, storage, name), run_path, manifest)
        try:
            return _fit(_restored_tuner(run_path, manifest), run_path, manifest)
        except MemosweepError:
            raise
        # Over a damaged state, Tune fails in many ways.
        except Exception as error:
            raise MemosweepError(
                f"{run_path}: Tune's saved state cannot be used ({type(error).__name__}: {first_line(error)}); "
                "the trials that ended can be read, a new sweep trains the others"
            ) from None


def _can_restore(run_path: str) -> bool:
    try:
        return bool(tune.Tuner.can_restore(run_path))
    except (OSError, ValueError) as error:
        raise MemosweepError(f"{run_path} cannot be read ({first_line(error)})") from None


def _restored_tuner(run_path: str, manifest: Manifest) -> tune.Tuner:
    return tune.Tuner.restore(run_path, trainable=trainable_of(manifest), resume_unfinished=True, restart_errored=True)


def _check_name(storage: str, name: str) -> None:
    """Refuse a name of `--name` that Ray, the file system or the URL of the storage would take for something else.

    Raises:
        MemosweepError: what is wrong with it.
    """
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise MemosweepError(f"--name {quoted(name)}: expected at most {_MAX_NAME_BYTES} bytes")
    # Ray searches its folders by pattern, and names of objects go through URLs.
    wrong = re.search(r"[\[\]*?\\\x00-\x1f\x7f]" if is_local(storage) else r"[^A-Za-z0-9._=+-]", name)
    if wrong is not None:
        raise MemosweepError(f"--name {quoted(name)}: {quoted(wrong[0])} cannot stand in the name of a run")


def claim_name(storage: str, wanted: str) -> str:
    """Return a name that no other run has, and make its folder: `wanted`, else with -2, -3, ... behind it.

    Behind a URL no folder can be made for oneself alone; there a random ending makes the name unique.

    Raises:
        MemosweepError: the place cannot be written.
    """
    if not is_local(storage):
        return f"{wanted}-{secrets.token_hex(3)}"
    for number in itertools.count(1):
        name = wanted if number == 1 else f"{wanted}-{number}"
        try:
            Path(storage).mkdir(parents=True, exist_ok=True)
            (Path(storage) / name).mkdir()
        except FileExistsError:
            if Path(storage).is_dir():
                continue
            raise MemosweepError(f"--storage-path: {storage} cannot be written (it is a file)") from None
        except OSError as error:
            raise MemosweepError(f"--storage-path: {storage} cannot be written ({first_line(error)})") from None
        return name
    raise AssertionError  # the numbers do not end


def _starting() -> None:
    """Ray takes seconds to start, half a minute on a busy machine."""
    print("starting Ray ...", flush=True)
    ray_session.start()


def _new_tuner(factor: Factor, manifest: Manifest, storage: str, name: str) -> tune.Tuner:
    strategy = strategy_of(factor, manifest)
    settings = manifest.search_settings
    target = settings.target if isinstance(settings, BisectSettings) else None
    return tune.Tuner(
        trainable_of(manifest),
        param_space=strategy.space,
        tune_config=tune.TuneConfig(
            # A scheduler and a searcher know the metric already.
            **({} if strategy.searcher is not None else {"metric": METRIC, "mode": "max"}),
            **(
                {"metric": METRIC, "mode": settings.direction}
                if strategy.scheduler is not None and isinstance(settings, OptunaSettings)
                else {}
            ),
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
            callbacks=[LiveProgress(manifest.factor, manifest.moved, _total(manifest), target)],
        ),
    )


def _total(manifest: Manifest) -> int | None:
    """How many trials a run has; None for an EMM search, whose number is open."""
    if isinstance(manifest.search_settings, OptunaSettings):
        return manifest.search_settings.num_trials
    return len(manifest.trials) if manifest.search == "grid" else None


def _fit(tuner: tune.Tuner, run_path: str, manifest: Manifest) -> int:
    # Tune answers the first SIGINT by saving its state; a polite kill deserves the same.
    previous = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    name = run_path.partition("?")[0].rpartition("/")[2] if not is_local(run_path) else Path(run_path).name
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
    counted = tally(results, manifest)
    write_outcome(run_path, manifest)
    for line in counted.failure_lines():
        print(line, flush=True)
    early = ended_early(run_path, manifest)
    if early is not None and counted.ended == counted.started:
        print(f"ended after {counted.started} of {_total(manifest)} trials: {early}", flush=True)
    unfinished = _unfinished(manifest, run_path, counted, early)
    if unfinished:
        print(f"interrupted{unfinished}; finish it with --resume --name {name}", flush=True)
        return INTERRUPTED
    if counted.errors:
        print(
            f"{counted.errors} of {counted.started} trials failed, see error.txt in their folders; "
            f"--resume --name {name} tries them again",
            flush=True,
        )
    return 1 if counted.errors or counted.failures else 0


def ended_early(run_path: str, manifest: Manifest) -> str | None:
    """Return why a search over ranges proposes no further trial although some are left; None where it does.

    Raises:
        MemosweepError: the saved search is damaged.
    """
    content = saved_state(run_path) if manifest.search == "optuna" else None
    return None if content is None else own_state(content, run_path).ended


def _unfinished(manifest: Manifest, run_path: str, counted: Tally, early: str | None) -> str:
    """What an interrupted run still lacks, in words; empty for a finished one."""
    total = _total(manifest)
    if total is None:
        search = saved_search(run_path)
        done = search is not None and search.finished and counted.ended == counted.started
        return "" if done else " before every value had its EMM"
    missing = (total if early is None else counted.started) - counted.ended
    return f" with {missing} of {total} trials unfinished" if missing > 0 else ""


def _exists(run_path: str) -> bool:
    try:
        filesystem, path = open_location(run_path)
        return bool(filesystem.exists(path))
    except (OSError, ValueError, ImportError) as error:
        raise MemosweepError(f"--storage-path: {run_path} cannot be reached ({first_line(error)})") from None


def _refuse_existing(run_path: str) -> None:
    """Raise MemosweepError for a run, or a folder of something else.

    A lock alone is that of this start, or of one that was killed before it had written anything.
    """
    if _exists(join_url(run_path, MANIFEST)):
        raise MemosweepError(f"{run_path} exists: --resume finishes it, --name starts another")
    if not _exists(run_path):
        return
    filesystem, path = open_location(run_path)
    if any(not str(name).endswith(f"/{LOCK}") for name in filesystem.ls(path, detail=False)):
        raise MemosweepError(f"{run_path} exists and is no run of a sweep: give another --name or --storage-path")


def _latest_run(storage: str, factor: str) -> str:
    try:
        filesystem, path = open_location(storage)
        # Not by a pattern, in which the brackets of a folder's name would have a meaning.
        inside = filesystem.ls(path, detail=True) if filesystem.isdir(path) else []
        folders = [str(entry["name"]).rstrip("/") for entry in inside if entry["type"] == "directory"]
        found = [folder.rpartition("/")[2] for folder in folders if filesystem.exists(f"{folder}/{MANIFEST}")]
    except (OSError, ValueError, ImportError) as error:
        raise MemosweepError(f"--storage-path: {storage} cannot be reached ({first_line(error)})") from None
    started = {}
    for name in found:
        with contextlib.suppress(MemosweepError):  # of another tool, of another version, or damaged
            manifest = Manifest.read(join_url(storage, name))
            if manifest.factor == factor:
                started[name] = (manifest.started, name)
    if not started:
        raise MemosweepError(f"--resume: {storage} holds no run of {factor}, give --storage-path or --name")
    return max(started, key=started.__getitem__)
