"""Optuna under Tune: the one place that knows its distributions; ranges are written `range(...)` in `--set`."""

import math
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from memo_core.command_line import parse_settings
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment, FlatExperiment, check_key, field_constraint, parse_value
from memo_core.presets import with_settings

_EVEN_WIDTHS_ABOVE = 32
"""Above it only multiples of 32 give layers that the normalization's 32 groups can share."""

Complete = Callable[[FlatExperiment], FlatExperiment]


def split_ranges(settings: list[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Tell `KEY=range(low,high[,log])` and `KEY=choice(a,b,...)` from plain settings.

    Returns:
        The plain settings by dotted key, and the ranges by dotted key, JSON-ready.

    Raises:
        MemosweepError: a range that is none.
    """
    plain: list[str] = []
    ranges: dict[str, dict[str, Any]] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        match = re.fullmatch(r"\s*(range|choice)\((.*)\)\s*", text)
        if match is None:
            plain.append(setting)
            continue
        check_key(key)
        parts = [part.strip() for part in match[2].split(",")]
        ranges[key] = _choices(key, parts) if match[1] == "choice" else _range(key, text, parts)
    return parse_settings(plain), ranges


def _choices(key: str, parts: list[str]) -> dict[str, Any]:
    return {"choices": [parse_value(key, part) for part in parts]}


def _range(key: str, text: str, parts: list[str]) -> dict[str, Any]:
    try:
        low, high = float(parts[0]), float(parts[1])
    except (ValueError, IndexError):
        raise MemosweepError(f"--set {key}={text}: expected range(low,high) or range(low,high,log)") from None
    log = parts[2:] == ["log"]
    if not (math.isfinite(low) and math.isfinite(high)):
        raise MemosweepError(f"--set {key}={text}: expected finite ends")
    if not low < high or (parts[2:] and not log) or (log and low <= 0):
        raise MemosweepError(f"--set {key}={text}: expected low < high, and low > 0 where log")
    integer = field_constraint(key, "type") is int
    return {"low": low, "high": high, "log": log, "integer": integer}


class OptunaExperimentSearch(Searcher):  # type: ignore[misc] # ray ships no types
    """Ray's Optuna searcher, whose suggestions are completed to whole experiments.

    Args:
        space: dotted key -> `{"low", "high", "log", "integer"}` or `{"choices"}`.
        base: the experiment that the suggestions change.
        complete: settings that follow from others (the learning rate from the batch size).
        direction: `max` or `min` of the ratio.
        num_trials: when to stop.
        seed: of Optuna's sampler.
    """

    def __init__(
        self,
        space: Mapping[str, Mapping[str, Any]],
        base: FlatExperiment,
        complete: Complete,
        direction: str,
        num_trials: int,
        seed: int = 0,
    ) -> None:
        super().__init__(metric="best_memorization_ratio", mode=direction)
        self._base, self._complete, self._left = dict(base), complete, num_trials
        self._choices = {key: span["choices"] for key, span in space.items() if "choices" in span}
        self._inner = _ray_searcher(space, direction, seed)

    def suggest(self, trial_id: str) -> FlatExperiment | str | None:
        """A complete experiment, or FINISHED after `num_trials`."""
        if self._left <= 0:
            return str(Searcher.FINISHED)
        suggested = self._inner.suggest(trial_id)
        if not isinstance(suggested, dict):
            return suggested  # type: ignore[no-any-return]
        self._left -= 1
        values = {key: self._value(key, value) for key, value in suggested.items()}
        return Experiment.from_flat(self._complete(with_settings(self._base, values))).to_flat()

    def _value(self, key: str, value: Any) -> Any:
        if key in self._choices:
            return self._choices[key][int(value)]
        multiple = field_constraint(key, "multiple_of")
        if key == "model.width" and value > _EVEN_WIDTHS_ABOVE:
            multiple = _EVEN_WIDTHS_ABOVE
        return max(multiple, multiple * round(value / multiple)) if multiple else value

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass an intermediate result on."""
        self._inner.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass the last result on."""
        self._inner.on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Write Optuna's state and how many trials are left, as one file: Tune moves no other."""
        with tempfile.TemporaryDirectory() as folder:
            self._inner.save(f"{folder}/state")
            inner = (Path(folder) / "state").read_bytes()
        Path(checkpoint_path).write_bytes(self._left.to_bytes(8, "big") + inner)

    def restore(self, checkpoint_path: str) -> None:
        """Read it back."""
        content = Path(checkpoint_path).read_bytes()
        self._left = int.from_bytes(content[:8], "big")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "state").write_bytes(content[8:])
            self._inner.restore(f"{folder}/state")


def _ray_searcher(space: Mapping[str, Mapping[str, Any]], direction: str, seed: int) -> Any:
    try:
        import optuna  # noqa: PLC0415
        from optuna.distributions import (  # noqa: PLC0415 - optional
            BaseDistribution,
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )
        from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415
    except ImportError as error:
        raise MemosweepError(f"--search optuna needs Optuna ({error}): pip install optuna") from None
    # The trials are on the screen already.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, BaseDistribution] = {}
    for key, span in space.items():
        if "choices" in span:
            # Indices, since a choice may be a list, which Optuna does not store.
            distributions[key] = CategoricalDistribution(list(range(len(span["choices"]))))
        elif span["integer"]:
            distributions[key] = IntDistribution(round(span["low"]), round(span["high"]), log=span["log"])
        else:
            distributions[key] = FloatDistribution(span["low"], span["high"], log=span["log"])
    return OptunaSearch(space=distributions, metric="best_memorization_ratio", mode=direction, seed=seed)
