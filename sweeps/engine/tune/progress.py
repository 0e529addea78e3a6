"""One calm live display of a sweep: trials done, running trials, time left."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from memo_core.experiment import Experiment
from sweeps.engine.plans.names import METRIC, short_name

_REFRESH_SECONDS = 0.5
_ROWS = 12


class LiveProgress(Callback):  # type: ignore[misc] # ray ships no types
    """Draws from Tune's own list of trials, so that a resumed run shows what was done before.

    Where the output is not a terminal, one line is printed for each trial that ends.
    """

    def __init__(self, name: str, varied: Sequence[str], total: int | None, target: float | None = None) -> None:
        """Draw `total` trials, unknown for an EMM search, which has a `target` ratio instead."""
        self._name, self._varied, self._total, self._target = name, list(varied), total, target
        self._live: Live | None = None
        self._console: Console | None = None
        self._started = self._drawn = 0.0
        self._images_before: float | None = None
        self._budgets: dict[str, int] = {}
        self._done: set[str] = set()
        self._failed: dict[str, str] = {}
        """How each failed trial ended: `failed` or `diverged`."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune stores callbacks with the experiment; a display is not stored."""
        return {"name": self._name, "varied": self._varied, "total": self._total, "target": self._target}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def setup(self, **_: Any) -> None:
        """Open the display."""
        self._console = Console()
        self._started = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(Text("starting"), console=self._console, auto_refresh=False)
            self._live.start()

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Redraw, at most twice a second."""
        now = time.monotonic()
        if self._images_before is None:
            self._images_before = self._images(trials)
            # A resumed run starts with what was done before.
            ended = [trial for trial in trials if trial.status == Trial.TERMINATED]
            self._failed = {trial.trial_id: kind for trial in ended if (kind := _failure(trial)) is not None}
            self._done = {trial.trial_id for trial in ended} - set(self._failed)
            if self._done:
                self._say(f"done already: {len(self._done)}")
        if self._live is not None and now - self._drawn > _REFRESH_SECONDS:
            self._drawn = now
            self._live.update(self._render(trials), refresh=True)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say how a trial ended."""
        kind = _failure(trial)
        if kind is not None:
            self._failed[trial.trial_id] = kind
            # Tune's list of files has no error of it: the cause was reported.
            self._say(f"{kind}: {self._title(trial)}, {trial.last_result.get('cause')}")
            return
        self._done.add(trial.trial_id)
        ratio = (trial.last_result or {}).get(METRIC)
        if self._live is None and ratio is not None:
            done = f"{len(self._done)}{self._of_total('/')}"
            self._say(f"{done}  {self._title(trial)}  best memorization ratio {ratio:.3f}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say that a trial failed for good."""
        self._failed[trial.trial_id] = "failed"
        self._say(f"failed: {self._title(trial)}, see {trial.path}/error.txt")

    def on_experiment_end(self, trials: list[Trial], **_: Any) -> None:
        """Leave the last state on the screen."""
        if self._live is not None:
            self._live.update(self._render(trials), refresh=True)
            self._live.stop()
            self._live = None

    def _say(self, line: str) -> None:
        if self._console is not None:
            self._console.print(line, highlight=False, soft_wrap=True)

    def _title(self, trial: Trial) -> str:
        return short_name(trial.config, self._varied) or trial.trial_id

    def _budget(self, trial: Trial) -> int:
        if trial.trial_id not in self._budgets:
            self._budgets[trial.trial_id] = Experiment.from_flat(trial.config).total_images
        return self._budgets[trial.trial_id]

    def _images(self, trials: list[Trial]) -> float:
        ended = self._done | set(self._failed)
        return sum(
            self._budget(trial) if trial.trial_id in ended else (trial.last_result or {}).get("images_seen", 0)
            for trial in trials
        )

    def _of_total(self, separator: str) -> str:
        return "" if self._total is None else f"{separator}{self._total}"

    def _all_images(self, trials: list[Trial]) -> float:
        """The budget of all trials; those that Tune has not made yet count like the others."""
        known = sum(self._budget(trial) for trial in trials)
        return known if self._total is None else known * self._total / max(1, len(trials))

    def _time_left(self, trials: list[Trial]) -> str:
        if self._total is None:
            return "ends when every EMM is known well enough"
        total, done = self._all_images(trials), self._images(trials)
        fresh = done - (self._images_before or 0.0)
        if fresh <= 0:
            return "time left: known after the first evaluation"
        seconds = (time.monotonic() - self._started) * (total - done) / fresh
        return f"time left: about {_duration(seconds)}"

    def _render(self, trials: list[Trial]) -> Group:
        running = [trial for trial in trials if trial.status == Trial.RUNNING]
        counts = f"{len(self._done)}{self._of_total(' of ')} trials done, {len(running)} running"
        for kind, count in sorted(Counter(self._failed.values()).items()):
            counts += f", {count} {kind}"
        head = Text(f"{self._name}  {counts}  ", style="bold")
        elapsed = _duration(time.monotonic() - self._started)
        head.append(f"{elapsed} so far, {self._time_left(trials)}", style="dim")
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("trial")
        for column in _COLUMNS:
            table.add_column(column, justify="right", style="dim" if column == "loss" else None)
        for trial in running[:_ROWS]:
            result = trial.last_result or {}
            cells = (form.format(result[key]) if key in result else "-" for key, form in _COLUMNS.values())
            table.add_row(self._title(trial), *cells)
        if len(running) > _ROWS:
            table.add_row(f"and {len(running) - _ROWS} more")
        if self._target is not None:
            # How far a search is, no bar can tell: what it knows of each value does.
            whole = self._known(trials)
        else:
            whole = Table.grid()
            total = max(1.0, self._all_images(trials))
            whole.add_row(ProgressBar(total=total, completed=self._images(trials), width=60))
        return Group(head, whole, *([table] if running else []))

    def _known(self, trials: list[Trial]) -> Table:
        """Of each value of a searched factor the trainings done, by size, and where its EMM must lie."""
        table = Table("EMM of", "lies", "|D| trained, with ratio", box=None, padding=(0, 2, 0, 0))
        keys = [key for key in self._varied if key not in ("data.size", "seed")]
        by_value: dict[str, list[tuple[int, float]]] = {}
        for trial in trials:
            result = trial.last_result or {}
            known = by_value.setdefault(short_name(trial.config, keys) or "all", [])
            if trial.trial_id in self._done and METRIC in result:
                known.append((trial.config["data.size"], result[METRIC]))
        for value, known in list(by_value.items())[:_ROWS]:
            sizes = "  ".join(f"{size:,} {100 * ratio:.0f}%" for size, ratio in sorted(known))
            table.add_row(value, self._where(known), sizes or "-")
        return table

    def _where(self, known: list[tuple[int, float]]) -> str:
        target = self._target or 0
        low = max((size for size, ratio in known if ratio >= target), default=None)
        high = min((size for size, ratio in known if ratio < target), default=None)
        if low is None or high is None:
            return "-" if low == high else f"below {high:,}" if low is None else f"from {low:,} on"
        return f"at {low:,} to {high:,}" if low < high else f"around {high:,} to {low:,}"


_COLUMNS = {
    "epoch": ("epoch", "{:,.0f}"),
    "loss": ("loss", "{:.4f}"),
    "ratio": ("memorization_ratio", "{:.3f}"),
    "best": (METRIC, "{:.3f}"),
}
"""Of the table of running trials: the metric and its format."""


def _failure(trial: Trial) -> str | None:
    """How a trial failed by its own report: `failed` or `diverged`; None where it did not."""
    kind = (trial.last_result or {}).get("failure")
    return None if kind is None else str(kind)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
