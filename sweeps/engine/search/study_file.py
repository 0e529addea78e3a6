"""An Optuna search's study as a file that `optuna-dashboard` opens: a view, of which nothing is ever read back."""

from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from sweeps.engine.plans.ranges import Choices, SearchSpace, Span, value_of
from sweeps.engine.search.optuna import IDENTITY, OptunaExperimentSearch

STUDY_FILE = "optuna.journal"
"""In the folder of a run."""


class StudyFile:
    """Writes a search's study with the values of its settings, whatever numbers Optuna draws for them.

    The file is made anew: the search, rebuilt from the run's own journal, knows all that an earlier one said.

    Args:
        file: where; a local path.
        name: of the study, as the dashboard lists it.
        search: whose study is shown.
    """

    def __init__(self, file: Path, name: str, search: OptunaExperimentSearch) -> None:
        self._search = search
        for old in (file, file.with_name(f"{file.name}.lock")):
            old.unlink(missing_ok=True)
        self._storage = JournalStorage(JournalFileBackend(str(file)))
        self._study = self._storage.create_new_study([search.study.direction], name)
        self._written: dict[int, tuple[int, bool]] = {}
        """By a trial's number in the search's study: its id in the file, and whether its end is there."""

    def update(self) -> bool:
        """Write what the file lacks; returns whether there was any."""
        changed = False
        for trial in self._search.study.get_trials(deepcopy=False):
            if IDENTITY not in trial.user_attrs:
                continue  # a point that made no new experiment
            number, finished = trial.number, trial.state.is_finished()
            if number not in self._written:
                created = self._storage.create_new_trial(self._study, shown(trial, self._search.space))
                self._written[number] = created, finished
            elif finished and not self._written[number][1]:
                created, _ = self._written[number]
                self._storage.set_trial_state_values(created, trial.state, trial.values)
                self._written[number] = created, True
            else:
                continue
            changed = True
        return changed


def shown(trial: FrozenTrial, space: SearchSpace) -> FrozenTrial:
    """Return a trial of a search with the values of its settings in the place of the numbers that were drawn."""
    values = {key: value_of(key, space[key], drawn) for key, drawn in trial.params.items()}
    parameters = {key: _plain(value) if isinstance(space[key], Choices) else value for key, value in values.items()}
    distributions = {key: _distribution(space[key]) for key in parameters}
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values if trial.state == TrialState.COMPLETE else None,
        params=parameters,
        distributions=distributions,
        user_attrs=dict(trial.user_attrs),
    )


def _distribution(span: Span) -> BaseDistribution:
    if isinstance(span, Choices):
        return CategoricalDistribution(list(dict.fromkeys(map(_plain, span.choices))))
    # Of what 1 - value is drawn logarithmically, no distribution of the value itself says so.
    log = span.log and not span.complement
    if span.integer:
        return IntDistribution(int(span.low), int(span.high), log=log)
    return FloatDistribution(float(span.low), float(span.high), log=log)


def _plain(value: Any) -> Any:
    """Return a choice as Optuna can store it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
