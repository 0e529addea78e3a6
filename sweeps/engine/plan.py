"""What a run will do: its trials, or the search that proposes them; plain data, stored in `sweep.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from memo_core.errors import MemosweepError
from memo_core.experiment import EMBEDDED_SIZE, Experiment, FlatExperiment
from memo_core.presets import with_settings
from sweeps.engine.factor import Factor, Selection, moved_keys, trials_of
from sweeps.engine.space import short_name

Search = Literal["grid", "bisect", "optuna"]
SEED_SPREAD = {"laptop": 0.4, "paper": 0.08}
"""Standard deviation of the ratio's logit among training seeds: larger for small networks and short trainings."""
SIZE_LIMITS = {"laptop": (4, 100), "paper": (100, 50_000)}
"""Sizes that an EMM search may train on, where none are given."""


@dataclass(frozen=True)
class Plan:
    """A run, before it has a name and a place."""

    search: Search
    trials: list[FlatExperiment]
    """All trials of a grid; for a search, the experiments that it starts from."""
    moved: list[str]
    """The keys that will differ among trials."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the search; JSON-ready."""


def grid_plan(factor: Factor, selection: Selection) -> Plan:
    """Every trial of the selected studies."""
    trials = trials_of(factor, selection)
    return Plan("grid", trials, moved_keys(trials))


@dataclass(frozen=True)
class BisectOptions:
    """What the command line says of an EMM search."""

    zeta: float = 0.1
    tolerance: float = 0.1
    min_size: int | None = None
    max_size: int | None = None
    early_success: bool = True
    early_failure: bool = True
    sequential_sampling: bool = True


def bisect_plan(factor: Factor, selection: Selection, options: BisectOptions) -> Plan:
    """A search for the EMM of each variant: each factor value, under each further axis of its studies.

    Raises:
        MemosweepError: limits that are no range, sizes beyond the data, or options that a search does not take.
    """
    if selection.sizes or (factor.key == "data.size" and selection.values):
        raise MemosweepError("--search bisect chooses the sizes itself: limit them with --min-size and --max-size")
    if selection.repeats != 1:
        raise MemosweepError("--search bisect repeats trainings where they are needed: leave --repeats out")
    low, high = SIZE_LIMITS[selection.preset]
    minimum = low if options.min_size is None else options.min_size
    maximum = high if options.max_size is None else options.max_size
    if minimum < 2:
        raise MemosweepError(f"--min-size {minimum}: expected at least 2")
    if options.max_size is None:
        known = [EMBEDDED_SIZE.get(flat["data.dataset"]) for flat in _at_size(factor, selection, minimum)]
        maximum = min([maximum, *(size for size in known if size is not None)])
    if not 2 <= minimum <= maximum:
        raise MemosweepError(f"--min-size {minimum} --max-size {maximum}: expected 2 <= min size <= max size")
    for name, share in (("zeta", options.zeta), ("tolerance", options.tolerance)):
        if not 0 < share < (1 if name == "zeta" else float("inf")):
            raise MemosweepError(f"--{name} {share}: expected a positive number{' below 1' if name == 'zeta' else ''}")
    _at_size(factor, selection, minimum)
    variants = _at_size(factor, selection, maximum)
    if any(flat["model.architecture"] == "optimum" for flat in variants):
        raise MemosweepError("--search bisect: the optimum memorizes every training set, it has no EMM")
    moved = [key for key in moved_keys(variants) if key != "data.size"]
    labels = [short_name(flat, moved) or "all" for flat in variants]
    return Plan(
        "bisect",
        variants,
        list(dict.fromkeys([*moved, "data.size", "seed"])),
        {
            "labels": labels,
            "min_size": minimum,
            "max_size": maximum,
            "target": 1 - options.zeta,
            "tolerance": options.tolerance,
            "seed_spread": SEED_SPREAD[selection.preset],
            "early_success": options.early_success,
            "early_failure": options.early_failure,
            "sequential_sampling": options.sequential_sampling,
        },
    )


def _at_size(factor: Factor, selection: Selection, size: int) -> list[FlatExperiment]:
    """The variants of a selection, all at one size; further evaluation of sizes is the search's."""
    fixed = replace(selection, values=[size]) if factor.key == "data.size" else replace(selection, sizes=[size])
    return trials_of(factor, fixed)


@dataclass(frozen=True)
class OptunaOptions:
    """What the command line says of an Optuna search."""

    num_trials: int = 20
    direction: Literal["max", "min"] = "max"
    asha: bool = False


def optuna_plan(
    factor: Factor,
    selection: Selection,
    ranges: Mapping[str, Mapping[str, Any]],
    options: OptunaOptions,
) -> Plan:
    """A search for the setting with the highest or lowest ratio at one size.

    Args:
        factor: its range is searched (`SearchRange`, or its values as choices).
        selection: the smallest of its sizes is taken; values replace the range by choices.
        ranges: further dotted keys with their ranges, from `--set KEY=range(...)`.
        options: trials, direction, scheduler.

    Raises:
        MemosweepError: no trials, or a range with an invalid end.
    """
    if options.num_trials < 1:
        raise MemosweepError(f"--trials {options.num_trials}: expected at least 1")
    if selection.repeats != 1:
        raise MemosweepError("--search optuna takes no --repeats")
    own = _range_of(factor, selection)
    space = {factor.key: own, **ranges}
    bases = trials_of(factor, replace(selection, values=_ends(own)))
    if factor.key != "data.size":
        sizes = sorted({flat["data.size"] for flat in bases})
        if len(sizes) > 1:
            bases = [flat for flat in bases if flat["data.size"] == sizes[0]]
    if options.asha and "data.size" in space:
        raise MemosweepError("--asha compares trials of one budget: leave it out where data.size is searched")
    for key, span in ranges.items():
        for end in _ends(span):
            Experiment.from_flat(with_settings(bases[0], {key: end}))
    return Plan(
        "optuna",
        [bases[0]],
        list(dict.fromkeys(space)),
        {"space": space, "num_trials": options.num_trials, "direction": options.direction, "asha": options.asha},
    )


def _range_of(factor: Factor, selection: Selection) -> dict[str, Any]:
    if selection.values:
        return {"choices": list(selection.values)}
    values = [value for study in factor.studies(selection.preset) for value in study.values]
    span = factor.search_range
    if span is not None and span.integer:
        # Of whole numbers the grid itself spans the range, and a laptop's is smaller than the paper's.
        return {"low": min(values), "high": max(values), "log": span.log, "integer": True}
    if span is not None:
        return {"low": span.low, "high": span.high, "log": span.log, "integer": span.integer}
    return {"choices": [list(v) if isinstance(v, tuple) else v for v in dict.fromkeys(values)]}


def _ends(span: Mapping[str, Any]) -> list[Any]:
    return list(span["choices"]) if "choices" in span else [span["low"], span["high"]]
