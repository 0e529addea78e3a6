"""The plan of an EMM search: the variants of a factor, and the sizes that they may be trained on."""

from dataclasses import replace

from memo_core.errors import MemosweepError
from memo_core.experiment import EMBEDDED_SIZE, Experiment
from sweeps.engine.plans.checks import check_effects
from sweeps.engine.plans.factor import Factor, Selection, family_of, trials_of, varied_keys
from sweeps.engine.plans.plan import EMMSearchOptions, FactorDescription, Plan

SIZE_LIMITS = {"laptop": (4, 100), "paper": (100, 50_000)}
"""Sizes that an EMM search may train on, where none are given."""


def bisect_plan(factor: Factor, selection: Selection, options: EMMSearchOptions) -> Plan:
    """Return a search for the EMM of each variant: each factor value, under each further axis of its studies.

    Raises:
        MemosweepError: limits that are not a range, sizes beyond the data, or options that a search does not take.
    """
    sizes = [*selection.sizes, *selection.more_sizes]
    sizes += [*selection.values, *selection.more_values] if factor.key == "data.size" else []
    if sizes or "data.size" in selection.settings:
        raise MemosweepError("--search bisect chooses the sizes itself: limit them with --min-size and --max-size")
    if selection.repeats != 1:
        raise MemosweepError("--search bisect repeats trainings where they are needed: leave --repeats out")
    asked, selection = selection, _one_subset(factor, selection)
    minimum, maximum = _limits(factor, selection, options)
    _at_size(factor, selection, minimum)
    variants = _at_size(factor, selection, maximum)
    if any(variant.model.architecture == "optimum" for variant in variants):
        raise MemosweepError("--search bisect: the optimum memorizes every training set, it has no EMM")
    check_effects(factor, selection, variants)
    return Plan(
        factor=FactorDescription.of(factor),
        preset=selection.preset,
        trials=variants,
        # A single value varies nothing, and is still what its EMM belongs to.
        varied=tuple(dict.fromkeys([*(varied_keys(variants) or [factor.key]), "data.size", "seed"])),
        selection=asked,
        search=options.model_copy(update={"min_size": minimum, "max_size": maximum}),
    )


def _limits(factor: Factor, selection: Selection, options: EMMSearchOptions) -> tuple[int, int]:
    """Return the smallest and the largest size to train: those requested, or what the preset and the data allow."""
    low, high = SIZE_LIMITS[family_of(selection.preset)]
    maximum = min([high, *_known_sizes(factor, selection)]) if options.max_size is None else options.max_size
    variants = _at_size(factor, selection, maximum)
    minimum = min(max([low, *map(_fewest_images, variants)]), maximum) if options.min_size is None else options.min_size
    if minimum > maximum:
        default = "" if options.max_size is not None else f" (of the {selection.preset} preset)"
        limits = f"--min-size {minimum} --max-size {maximum}{default}"
        raise MemosweepError(f"{limits}: expected a max size of at least the min size")
    return minimum, maximum


def _one_subset(factor: Factor, selection: Selection) -> Selection:
    """Drop the seeds that a study repeats its trials over: a search repeats where it needs to."""
    seeds = {
        key: study.grid[key][0]
        for study in selection.studies(factor)
        for key in ("seed", "data.seed")
        if key in study.grid
    }
    return replace(selection, settings={**seeds, **selection.settings})


def _known_sizes(factor: Factor, selection: Selection) -> list[int]:
    """Return how many images the data sets have that are known by name."""
    studies = selection.studies(factor)
    names = [{**study.preset, **study.settings, **selection.settings}["data.dataset"] for study in studies]
    return [EMBEDDED_SIZE[name] for name in names if name in EMBEDDED_SIZE]


def _fewest_images(trial: Experiment) -> int:
    """Return how many images an experiment needs at least: one for each class and each random label."""
    classes = trial.data.classes
    counts = [len(classes) if isinstance(classes, tuple) else classes or 0]
    counts += [trial.data.num_labels] if trial.data.labels == "random" else []
    return max(counts)


def _at_size(factor: Factor, selection: Selection, size: int) -> tuple[Experiment, ...]:
    """Return the variants of a selection, all at one size."""
    fixed = replace(selection, values=[size]) if factor.key == "data.size" else replace(selection, sizes=[size])
    return trials_of(factor, fixed)
