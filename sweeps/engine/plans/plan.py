"""What a run will do: its trials, or the search that proposes them; plain data, stored in `sweep.json`."""

from dataclasses import dataclass, field, replace
from typing import Literal

from memo_core.errors import MemosweepError
from memo_core.experiment import EMBEDDED_SIZE, FlatExperiment
from memo_core.experiment.presets import with_settings
from sweeps.engine.plans.checks import check_effects
from sweeps.engine.plans.factor import Factor, Selection, moved_keys, selected_studies, trials_of
from sweeps.engine.plans.names import short_name
from sweeps.engine.plans.search_settings import BisectSettings, GridSettings, SearchSettings

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
    settings: SearchSettings = field(default_factory=GridSettings)
    probes: list[FlatExperiment] = field(default_factory=list)
    """Further experiments that a search may propose, to be checked before anything starts."""


def grid_plan(factor: Factor, selection: Selection) -> Plan:
    """Every trial of the selected studies.

    Raises:
        MemosweepError: what `trials_of` refuses, or settings under which the factor moves nothing.
    """
    trials = trials_of(factor, selection)
    check_effects(factor, selection, trials)
    return Plan("grid", trials, moved_keys(trials))


@dataclass(frozen=True)
class BisectOptions:
    """What the command line says of an EMM search."""

    zeta: float = 0.1
    tolerance: float = 0.1
    min_size: int | None = None
    max_size: int | None = None
    early_success: bool = True
    sequential_sampling: bool = True


def bisect_plan(factor: Factor, selection: Selection, options: BisectOptions) -> Plan:
    """A search for the EMM of each variant: each factor value, under each further axis of its studies.

    Raises:
        MemosweepError: limits that are no range, sizes beyond the data, or options that a search does not take.
    """
    if selection.sizes or "data.size" in selection.settings or (factor.key == "data.size" and selection.values):
        raise MemosweepError("--search bisect chooses the sizes itself: limit them with --min-size and --max-size")
    if selection.repeats != 1:
        raise MemosweepError("--search bisect repeats trainings where they are needed: leave --repeats out")
    selection = _one_subset(factor, selection)
    for name, share in (("zeta", options.zeta), ("tolerance", options.tolerance)):
        if not 0 < share < 1:
            raise MemosweepError(f"--{name} {share}: expected a number above 0 and below 1")
    minimum, maximum = _limits(factor, selection, options)
    _at_size(factor, selection, minimum)
    variants = _at_size(factor, selection, maximum)
    if any(flat["model.architecture"] == "optimum" for flat in variants):
        raise MemosweepError("--search bisect: the optimum memorizes every training set, it has no EMM")
    check_effects(factor, selection, variants)
    moved = [key for key in moved_keys(variants) if key != "data.size"]
    labels = [short_name(flat, moved) or "all" for flat in variants]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({number})" for number, label in enumerate(labels, 1)]
    return Plan(
        "bisect",
        variants,
        list(dict.fromkeys([*moved, "data.size", "seed"])),
        BisectSettings(
            labels=labels,
            min_size=minimum,
            max_size=maximum,
            target=1 - options.zeta,
            tolerance=options.tolerance,
            seed_spread=SEED_SPREAD[selection.preset],
            early_success=options.early_success,
            sequential_sampling=options.sequential_sampling,
        ),
    )


def _limits(factor: Factor, selection: Selection, options: BisectOptions) -> tuple[int, int]:
    """The smallest and the largest size to train: those asked for, or what the preset and the data allow."""
    low, high = SIZE_LIMITS[selection.preset]
    for name, size in (("min", options.min_size), ("max", options.max_size)):
        if size is not None and size < 2:
            raise MemosweepError(f"--{name}-size {size}: expected at least 2 images")
    maximum = min([high, *_known_sizes(factor, selection)]) if options.max_size is None else options.max_size
    variants = _at_size(factor, selection, maximum)
    minimum = min(max([low, *map(_fewest_images, variants)]), maximum) if options.min_size is None else options.min_size
    if minimum > maximum:
        default = "" if options.max_size is not None else f" (of the {selection.preset} preset)"
        raise MemosweepError(
            f"--min-size {minimum} --max-size {maximum}{default}: expected a max size of at least the min size"
        )
    return minimum, maximum


def _one_subset(factor: Factor, selection: Selection) -> Selection:
    """Without the seeds that a study repeats its trials over: a search repeats where it needs to."""
    seeds = {
        key: study.grid[key][0]
        for study in selected_studies(factor, selection)
        for key in ("seed", "data.seed")
        if key in study.grid
    }
    return replace(selection, settings={**seeds, **selection.settings})


def _known_sizes(factor: Factor, selection: Selection) -> list[int]:
    """How many images the data sets have that are known by name."""
    chosen = [
        with_settings(with_settings(study.preset, study.settings), selection.settings)
        for study in selected_studies(factor, selection)
    ]
    return [size for flat in chosen if (size := EMBEDDED_SIZE.get(flat["data.dataset"])) is not None]


def _fewest_images(flat: FlatExperiment) -> int:
    """How many images an experiment needs at least: one for each class and each random label."""
    classes = flat["data.classes"]
    counts = [len(classes) if isinstance(classes, list | tuple) else classes or 0]
    counts += [flat["data.num_labels"]] if flat["data.labels"] == "random" else []
    return max(counts)


def _at_size(factor: Factor, selection: Selection, size: int) -> list[FlatExperiment]:
    """The variants of a selection, all at one size; further evaluation of sizes is the search's."""
    fixed = replace(selection, values=[size]) if factor.key == "data.size" else replace(selection, sizes=[size])
    return trials_of(factor, fixed)
