"""Longer budgets: which trials go on from the checkpoints of shorter ones, and which are trained again."""

from collections.abc import Mapping, Sequence

from analysis.results.store import join_url, last_part, open_location
from memo_core.errors import MemosweepError, first_line
from memo_core.experiment import Experiment, FlatExperiment
from memo_core.results import experiment_id
from sweeps.engine.plans.manifest import unreachable
from sweeps.engine.plans.names import trial_title, without_budget
from sweeps.engine.plans.plan import GridOptions, Plan
from sweeps.engine.tune.trial.trial_folder import CHECKPOINTS, TrialRecord

_NAMED = 3
"""Trials that a line names."""
_MAX_FACTOR = 1000
"""Multiples of a budget that are tried."""


def continued(records: Mapping[str, TrialRecord], plan: Plan) -> list[tuple[TrialRecord, FlatExperiment]]:
    """Return the trials of a run that go on as one with another budget, each with the experiment that it becomes.

    Args:
        records: of the run, by identity.
        plan: its extended plan; of a search there are none, each budget that was searched is a trial of its own.
    """
    if not isinstance(plan.search, GridOptions):
        return []
    wanted = {experiment_id(flat): flat for flat in (trial.to_flat() for trial in plan.trials)}
    free = {
        without_budget(record.result["config"]): record
        for trial_id, record in records.items()
        if record.rows and trial_id not in wanted
    }
    found = []
    for trial_id, flat in wanted.items():
        record = free.pop(without_budget(flat), None) if trial_id not in records else None
        if record is not None:
            found.append((record, flat))
    return found


def trained_again(run_path: str, records: Mapping[str, TrialRecord], plan: Plan) -> list[str]:
    """Say which trials a longer budget trains again, in all or in part, why, and what budget would go on.

    Args:
        run_path: folder or URL of the run.
        records: its trials by identity.
        plan: the extended one.

    Returns:
        A line for each reason; none where all trials go on from their newest checkpoints.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    found = continued(records, plan)
    for record, flat in found:
        positions = _checkpoints(run_path, record)
        seen, reason = _start(record, positions, Experiment.from_flat(flat))
        if reason is not None:
            what = f"go on from {seen:,} of {positions[0]:,} images seen" if seen else "start anew"
            why = f"{reason}; {_advice(record, positions, Experiment.from_flat(flat))}"
            groups.setdefault((what, why), []).append(trial_title(flat, plan.varied))
    lines = []
    for (what, why), trials in groups.items():
        named = ", ".join(trials[:_NAMED]) + (f" and {len(trials) - _NAMED} more" if len(trials) > _NAMED else "")
        lines.append(f"{len(trials)} of {len(found)} trials with another budget {what} ({named}): {why}")
    return lines


def _checkpoints(run_path: str, record: TrialRecord) -> list[int]:
    """Return the images seen of a trial's checkpoints, the newest first."""
    location = join_url(run_path, record.folder)
    with unreachable(f"{location}: cannot be read"):
        filesystem, path = open_location(location)
        names = map(last_part, filesystem.ls(path, detail=False))
        numbers = [name.removeprefix(CHECKPOINTS) for name in names if name.startswith(CHECKPOINTS)]
    return sorted((int(number) for number in numbers if number.isdecimal()), reverse=True)


def _start(record: TrialRecord, positions: Sequence[int], experiment: Experiment) -> tuple[int, str | None]:
    """Return the images seen of the checkpoint that an experiment goes on from, 0 for none, and why not the newest.

    As `Trainer.load_state_dict` decides, by the reports instead of the checkpoints.
    """
    from memo_core.training.saving.record import NotContinuedError, Tally, TrainingRecord  # noqa: PLC0415 (loads torch)

    reason = None
    for seen in positions:
        rows = [row for row in record.rows if "memorization_ratio" in row and row["images_seen"] <= seen]
        best = max(rows, key=lambda row: row["memorization_ratio"])["images_seen"] if rows else 0
        evaluated = TrainingRecord([dict(row) for row in rows], [Tally(row["images_seen"]) for row in rows], best)
        try:
            evaluated.as_asked_for_at_once(experiment, {"experiment": record.result["config"], "images_seen": seen}, 1)
        except NotContinuedError as error:
            reason = reason or first_line(error)
        else:
            return seen, reason
    return 0, reason or "there is no checkpoint"


def _advice(record: TrialRecord, positions: Sequence[int], experiment: Experiment) -> str:
    """Return which budget from the one that was asked for goes on from the newest, among the multiples of its own."""
    flat, before = experiment.to_flat(), record.result["config"]
    key = "training.images" if before.get("training.images") is not None else "training.epochs"
    other = "training.epochs" if key == "training.images" else "training.images"
    for factor in range(2, _MAX_FACTOR if positions else 0):
        try:
            longer = Experiment.from_flat({**flat, other: None, key: factor * before[key]})
        except MemosweepError:
            break
        if longer.total_images >= experiment.total_images and _start(record, positions, longer)[1] is None:
            return f"{key}={factor * before[key]:g} would go on from the newest checkpoints"
    return "no longer budget goes on"
