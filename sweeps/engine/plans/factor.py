"""A studied factor as data: the key it moves, the grids of its figures, and the trials they make."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, FlatExperiment, check_key
from memo_core.experiment.presets import with_settings

Value = Any


@dataclass(frozen=True)
class Study:
    """One panel of a figure, or one table: a product of factor values, sizes and further axes."""

    figure: str
    """Where the paper shows it, such as `2a` or `Table 2`; for laptop studies the one that it mirrors."""
    preset: Mapping[str, Any]
    """Settings of the basic experiment."""
    values: tuple[Value, ...]
    sizes: tuple[int, ...] = ()
    """|D|; none where the factor is the size itself."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that this panel changes."""
    grid: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Further axes of the product, by dotted key."""


@dataclass(frozen=True)
class SearchRange:
    """The continuum that a grid samples, for `--search optuna`; whole numbers where the key takes no others."""

    low: float | None = None
    """None takes the study's smallest value."""
    high: float | None = None
    """None takes the study's largest value."""
    log: bool = False
    complement: bool = False
    """Space 1 - value instead of the value: for rates that matter where they are close to 1."""


@dataclass(frozen=True)
class Factor:
    """What a sweep script names."""

    name: str
    key: str
    """The dotted experiment key that moves."""
    paper: tuple[Study, ...]
    laptop: tuple[Study, ...]
    tied: Callable[[Value, Mapping[str, Any]], Mapping[str, Any]] | None = None
    """Settings that follow from a value and the basic experiment, such as the learning rate from the batch size."""
    search_range: SearchRange | None = None

    def __post_init__(self) -> None:
        check_key(self.key)

    def studies(self, preset: Literal["laptop", "paper"]) -> tuple[Study, ...]:
        """The studies of a preset."""
        return self.paper if preset == "paper" else self.laptop

    def figures(self, preset: Literal["laptop", "paper"]) -> list[str]:
        """Names of the studies of a preset."""
        return [study.figure for study in self.studies(preset)]


def scaled_learning_rate(batch_size: int, reference: Mapping[str, Any]) -> dict[str, Any]:
    """The linear scaling rule of section 5: the learning rate per image of the batch stays as in `reference`."""
    ratio = reference["training.learning_rate"] / reference["training.batch_size"]
    return {"training.learning_rate": ratio * batch_size}


@dataclass(frozen=True)
class Selection:
    """What the command line changes of a factor's studies."""

    preset: Literal["laptop", "paper"]
    figures: Sequence[str] = ()
    values: Sequence[Value] = ()
    sizes: Sequence[int] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1


def selected_studies(factor: Factor, selection: Selection) -> list[Study]:
    """The studies that the selection names, or all of its preset."""
    studies = factor.studies(selection.preset)
    return [study for study in studies if not selection.figures or study.figure in selection.figures]


def trials_of(factor: Factor, selection: Selection) -> list[FlatExperiment]:
    """All trials of the selected studies, complete and validated, each once.

    Raises:
        MemosweepError: a setting that the sweep itself moves, an unknown figure, or an invalid experiment.
    """
    _check_selection(factor, selection)
    trials: dict[str, FlatExperiment] = {}
    for study in selected_studies(factor, selection):
        for flat in _trials_of_study(factor, study, selection):
            trials.setdefault(json.dumps(flat, sort_keys=True), flat)
    return list(trials.values())


def _check_selection(factor: Factor, selection: Selection) -> None:
    for key, option in ((factor.key, "--values"), ("data.size", "--sizes")):
        if key in selection.settings:
            raise MemosweepError(f"--set {key}={selection.settings[key]}: this sweep moves it, use {option}")
    if factor.key == "data.size" and selection.values and selection.sizes:
        raise MemosweepError("--values and --sizes are the same for this factor: give one of them")
    known = factor.figures(selection.preset)
    for figure in selection.figures:
        if figure not in known:
            raise MemosweepError(
                f"--figure {figure}: the {selection.preset} preset of {factor.name} has {', '.join(known)}"
            )


def _trials_of_study(factor: Factor, study: Study, selection: Selection) -> Iterable[FlatExperiment]:
    values = tuple(selection.values) or study.values
    sizes = tuple(selection.sizes) or study.sizes
    if factor.key == "data.size":
        sizes = tuple(selection.values) or tuple(selection.sizes) or study.values
        values = (None,)
    # `--repeats` replaces the seeds of a study that has some of its own.
    repeats = {"seed": tuple(range(selection.repeats))} if selection.repeats > 1 else {}
    grid = {**repeats, **study.grid, **repeats}
    axes = [(key, options) for key, options in grid.items() if key not in selection.settings]
    for combination in itertools.product(values, sizes, *(options for _, options in axes)):
        value, size, *others = combination
        moved: dict[str, Any] = {
            "data.size": size,
            **dict(zip([key for key, _ in axes], others, strict=True)),
        }
        if factor.key != "data.size":
            moved[factor.key] = value
        settings = with_settings(with_settings(study.preset, study.settings), selection.settings)
        if factor.tied is not None:
            Experiment.from_flat(with_settings(settings, moved))
            settings = {**settings, **factor.tied(value, settings)}
        settings = with_settings(settings, moved)
        yield Experiment.from_flat(settings).to_flat()


def moved_keys(trials: Sequence[FlatExperiment]) -> list[str]:
    """The keys that differ among trials, in experiment order."""
    return [key for key in (trials[0] if trials else {}) if len({json.dumps(flat[key]) for flat in trials}) > 1]
