"""A studied factor as data: the setting it varies, the grids of its figures, and the trials they make."""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from memo_core.errors import MemosweepError
from memo_core.experiment import EMBEDDED_SIZE, TINY_PIPELINE, Experiment, FlatExperiment, check_key
from memo_core.experiment.presets import PRESETS, with_settings
from memo_core.files import refuse_url

Value = Any
Preset = Literal[
    "laptop", "laptop-long", "laptop-cifar", "laptop-text", "paper", "paper-edm", "paper-ffhq", "paper-text"
]
"""The studies of a factor are those of `laptop` or `paper`; the others of a family replace their basic experiment."""
Family = Literal["laptop", "paper"]
Scale = Literal["linear", "log", "category"]


def family_of(preset: Preset) -> Family:
    """Return whose studies a preset has."""
    return "paper" if preset.startswith("paper") else "laptop"


_PATHS = ("data.dataset", "data.blend_dataset", "text.captions", "text.pipeline")


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
    """The dotted experiment key that varies."""
    paper: tuple[Study, ...]
    laptop: tuple[Study, ...]
    title: str | None = None
    """Its name on axes and in tables; None takes the paper's, or the words of the key."""
    scale: Scale | None = None
    """Of its axis; None takes the paper's, else linear for numbers."""
    dependent: Callable[[Value, Mapping[str, Any]], Mapping[str, Any]] | None = None
    """Settings that follow from a value and the basic experiment, such as the learning rate from the batch size."""
    search_range: SearchRange | None = None

    def __post_init__(self) -> None:
        check_key(self.key)

    def studies(self, preset: Preset) -> tuple[Study, ...]:
        """Return the studies of a preset.

        Raises:
            MemosweepError: the preset is one of another kind of model.
        """
        studies = self.paper if family_of(preset) == "paper" else self.laptop
        if preset == family_of(preset):
            return studies
        for study in studies:
            if _fine_tunes(study.preset) != _fine_tunes(PRESETS[preset]):
                other = "fine-tunes pipelines" if _fine_tunes(study.preset) else "trains networks from noise"
                raise MemosweepError(f"--preset {preset}: {self.name} {other}, give {family_of(preset)}")
        return tuple(replace(study, preset=PRESETS[preset]) for study in studies)

    @property
    def fine_tunes(self) -> bool:
        """Whether its studies fine-tune a pipeline."""
        return any(_fine_tunes(study.preset) for study in (*self.laptop, *self.paper))

    def figures(self, preset: Preset) -> list[str]:
        """Return the names of the studies of a preset."""
        return [study.figure for study in self.studies(preset)]

    def dependent_keys(self) -> tuple[str, ...]:
        """Return the keys of the settings that follow from a value."""
        if self.dependent is None:
            return ()
        study = [*self.laptop, *self.paper][0]
        return tuple(self.dependent(study.values[0], with_settings(study.preset, study.settings)))


def _fine_tunes(preset: Mapping[str, Any]) -> bool:
    return bool(preset["model.architecture"] == "pipeline")


def scaled_learning_rate(batch_size: int, reference: Mapping[str, Any]) -> dict[str, Any]:
    """Apply the linear scaling rule of section 5: the learning rate per image of the batch stays as in `reference`."""
    ratio = reference["training.learning_rate"] / reference["training.batch_size"]
    return {"training.learning_rate": ratio * batch_size}


def absolute_value(key: str, value: Any) -> Any:
    """Return a setting's value; a path to images becomes absolute, the data sets known by name stay.

    Tune runs each trial in a folder of its own, where a relative path would mean something else.
    """
    if key not in _PATHS or not isinstance(value, str) or not value.strip() or value in (*EMBEDDED_SIZE, TINY_PIPELINE):
        return value
    # Else a name on the Hugging Face hub.
    if key == "text.pipeline" and not Path(value).expanduser().exists():
        return value
    refuse_url(value, "data sets")
    # As typed otherwise: a link stays a link.
    return os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111 - texts that may be no path at all


def absolute_paths(settings: Mapping[str, Any]) -> FlatExperiment:
    """Return settings by dotted key with absolute paths to images."""
    return {key: absolute_value(key, value) for key, value in settings.items()}


@dataclass(frozen=True)
class Selection:
    """What the command line changes of a factor's studies."""

    preset: Preset
    figures: Sequence[str] = ()
    values: Sequence[Value] = ()
    sizes: Sequence[int] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1
    more_values: Sequence[Value] = ()
    """By which a run is extended, behind the others."""
    more_sizes: Sequence[int] = ()

    def __post_init__(self) -> None:
        # As JSON gives them back: equal selections are equal however they were made.
        for name in ("figures", "values", "sizes", "more_values", "more_sizes"):
            object.__setattr__(self, name, _union(getattr(self, name), ()))

    def extended(self, more: "Selection") -> "Selection":
        """Return this selection with the values, sizes, figures, repeats and settings of another one added."""
        return replace(
            self,
            # None are all of them.
            figures=_union(self.figures, more.figures) if self.figures else (),
            more_values=_union(self.more_values, more.values),
            more_sizes=_union(self.more_sizes, more.sizes),
            settings={**self.settings, **more.settings},
            repeats=max(self.repeats, more.repeats),
        )

    def studies(self, factor: Factor) -> list[Study]:
        """Return the studies of a factor that are named, or all of the preset.

        Raises:
            MemosweepError: there is no study of a name.
        """
        known = factor.figures(self.preset)
        for figure in self.figures:
            if figure not in known:
                has = f"the {self.preset} preset of {factor.name} has {', '.join(known)}"
                raise MemosweepError(f"--figure {figure}: {has}")
        return [s for s in factor.studies(self.preset) if not self.figures or s.figure in self.figures]


def trials_of(factor: Factor, selection: Selection) -> tuple[Experiment, ...]:
    """Return all trials of the selected studies, each once.

    Raises:
        MemosweepError: a setting that the sweep itself varies, an unknown figure, or an invalid experiment.
    """
    for key, option in ((factor.key, "--values"), ("data.size", "--sizes")):
        if key in selection.settings:
            raise MemosweepError(f"--set {key}={selection.settings[key]}: this sweep varies it, use {option}")
    if factor.key == "data.size" and selection.values and selection.sizes:
        raise MemosweepError("--values and --sizes are the same for this factor: give one of them")
    studies = selection.studies(factor)
    return tuple(dict.fromkeys(trial for study in studies for trial in _trials_of_study(factor, study, selection)))


def _trials_of_study(factor: Factor, study: Study, selection: Selection) -> Iterable[Experiment]:
    settings = with_settings(with_settings(study.preset, study.settings), selection.settings)
    points = list(_points(factor, study, selection))
    if any(point.get("text.prompt") == "captions" for point in points):
        # The file is for those points alone. Where none has it, its trials refuse it.
        points = [point if point["text.prompt"] == "captions" else {**point, "text.captions": None} for point in points]
    for point in points:
        experiment = Experiment.from_flat(with_settings(settings, point))
        # Behind it: what follows from a wrong value would be refused instead of it.
        if factor.dependent is not None:
            follows = factor.dependent(point[factor.key], settings)
            experiment = Experiment.from_flat(with_settings({**settings, **follows}, point))
        yield experiment


def _points(factor: Factor, study: Study, selection: Selection) -> Iterable[dict[str, Any]]:
    """Return the product of factor values, sizes and further axes, as settings by dotted key."""
    more = (*selection.more_values, *selection.more_sizes)
    axes = {"data.size": _union(selection.values or selection.sizes or study.values, more)}
    if factor.key != "data.size":
        values = _union(selection.values or study.values, selection.more_values)
        axes = {factor.key: values, "data.size": _union(selection.sizes or study.sizes, selection.more_sizes)}
    # `--repeats` replaces the seeds of a study that has some of its own.
    repeats = {"seed": tuple(range(selection.repeats))} if selection.repeats > 1 else {}
    grid = {**repeats, **study.grid, **repeats}
    axes.update({key: options for key, options in grid.items() if key not in selection.settings})
    return (dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values()))


def _union(first: Sequence[Value], second: Sequence[Value]) -> tuple[Value, ...]:
    # Lists come from JSON.
    return tuple(dict.fromkeys(tuple(value) if isinstance(value, list) else value for value in [*first, *second]))


def varied_keys(trials: Sequence[Experiment]) -> tuple[str, ...]:
    """Return the keys whose values differ among trials, in experiment order."""
    flats = [trial.to_flat() for trial in trials]
    return tuple(key for key in (flats[0] if flats else {}) if any(flat[key] != flats[0][key] for flat in flats))
