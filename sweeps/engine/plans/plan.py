"""What a run will do: its trials, or the search that proposes them; validated whole, and stored in `sweep.json`."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer, model_validator

from memo_core.experiment import Experiment, check_key
from sweeps.engine.plans.checks import check_effects
from sweeps.engine.plans.factor import Factor, Preset, Scale, Selection, absolute_paths, trials_of, varied_keys
from sweeps.engine.plans.names import short_name
from sweeps.engine.plans.ranges import STRICT, SearchSpace, check_space

SEED_SPREAD = {"laptop": 0.4, "paper": 0.08}
"""Standard deviation of the ratio's logit among training seeds that an EMM search starts from.

Larger for small networks and short trainings."""


def _known_key(key: str) -> str:
    check_key(key)
    return key


def _as_experiment(value: Any) -> Any:
    return Experiment.from_flat(value) if isinstance(value, dict) else value


Key = Annotated[str, AfterValidator(_known_key)]
Trial = Annotated[Experiment, BeforeValidator(_as_experiment), PlainSerializer(lambda trial: trial.to_flat())]
"""An experiment in Python, and dotted keys in JSON."""
Share = Annotated[float, Field(gt=0, lt=1)]
Size = Annotated[int, Field(ge=2, le=100_000_000)]


class GridOptions(BaseModel):
    """Every trial of the plan."""

    model_config = STRICT

    kind: Literal["grid"] = "grid"


class EMMSearchOptions(BaseModel):
    """An EMM search of each variant, from the command line to the searcher and the trials' early stops."""

    model_config = STRICT

    kind: Literal["bisect"] = "bisect"
    zeta: Share = 0.1
    """The EMM is where the ratio crosses 1 - zeta."""
    tolerance: Share = 0.1
    """Relative half-width of the interval that ends the search of a variant."""
    min_size: Size | None = None
    max_size: Size | None = None
    """Sizes to train on; None, on the command line alone, takes those of the preset and the data."""
    early_success: bool = True
    """End a trial whose ratio has surely passed the target."""
    sequential_sampling: bool = True
    """Draw no more samples than an intermediate evaluation needs."""

    @property
    def target(self) -> float:
        """The ratio whose crossing is searched."""
        return 1 - self.zeta


class OptunaOptions(BaseModel):
    """A search for the highest or the lowest ratio of one study."""

    model_config = STRICT

    kind: Literal["optuna"] = "optuna"
    num_trials: Annotated[int, Field(ge=1)] = 20
    direction: Literal["max", "min"] = "max"
    asha: bool = False
    """Stop the worse half of the trials early."""
    figure: str = ""
    """The study that is searched; filled in by the plan, like the space."""
    space: Annotated[SearchSpace, AfterValidator(check_space)] = {}


class FactorDescription(BaseModel):
    """What the readers of results need to know of a factor (`factor.Factor`)."""

    model_config = STRICT

    name: str
    key: Key
    title: str | None = None
    scale: Scale | None = None
    dependent: tuple[Key, ...] = ()

    @classmethod
    def of(cls, factor: Factor) -> Self:
        """Describe a factor."""
        same = {name: getattr(factor, name) for name in ("name", "key", "title", "scale")}
        return cls(**same, dependent=factor.dependent_keys())


class Plan(BaseModel):
    """A run, before it has a name and a place."""

    model_config = STRICT

    factor: FactorDescription
    preset: Preset
    trials: Annotated[tuple[Trial, ...], Field(min_length=1)]
    """All trials of a grid; for a search, the experiments that it starts from."""
    varied: tuple[Key, ...]
    """The keys that will differ among trials."""
    selection: Selection | None = None
    """What was selected of the factor's studies, to extend the run by more."""
    search: Annotated[GridOptions | EMMSearchOptions | OptunaOptions, Field(discriminator="kind")] = GridOptions()
    probes: Annotated[tuple[Trial, ...], Field(exclude=True)] = ()
    """Further experiments that a search may propose, to be checked before anything starts."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        search = self.search
        if isinstance(search, EMMSearchOptions) and not 2 <= (search.min_size or 0) <= (search.max_size or 0):
            raise ValueError(f"sizes from {search.min_size} to {search.max_size} cannot be searched")
        if isinstance(search, OptunaOptions) and not (len(self.trials) == 1 and search.space):
            raise ValueError(f"{len(self.trials)} trials, expected the one that the search changes, and its space")
        return self

    @property
    def total(self) -> int | None:
        """The number of trials; None for an EMM search, which decides as it goes."""
        if isinstance(self.search, OptunaOptions):
            return self.search.num_trials
        return len(self.trials) if isinstance(self.search, GridOptions) else None

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each variant of an EMM search, in the order of the trials, each different."""
        keys = [key for key in self.varied if key not in ("data.size", "seed")]
        labels = [short_name(trial.to_flat(), keys) or "all" for trial in self.trials]
        if len(set(labels)) < len(labels):
            labels = [f"{label} ({number})" for number, label in enumerate(labels, 1)]
        return tuple(labels)

    def with_absolute_paths(self) -> "Plan":
        """Return the plan with absolute paths to images: a preset, too, may name them by a relative one."""
        trials = tuple(Experiment.from_flat(absolute_paths(trial.to_flat())) for trial in self.trials)
        return self.model_copy(update={"trials": trials})


def grid_plan(factor: Factor, selection: Selection) -> Plan:
    """Return the plan of every trial of the selected studies.

    Raises:
        MemosweepError: what `trials_of` refuses, or settings under which the factor has no effect.
    """
    trials = trials_of(factor, selection)
    check_effects(factor, selection, trials)
    return Plan(
        factor=FactorDescription.of(factor),
        preset=selection.preset,
        trials=trials,
        varied=varied_keys(trials),
        selection=selection,
    )
