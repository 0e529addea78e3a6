"""The display of a sweep: on a terminal head, bar and tables; elsewhere lines."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.engine.plans.names import METRIC, short_name
from sweeps.engine.tune.display.trials import End, TrialView

_ROWS = 12
_PLAIN_TRIALS = 4
_UNLIMITED = 10_000
_PADDING = (0, 2, 0, 0)
_METRICS = {
    "epoch": ("epoch", "{:,.0f}"),
    "loss": ("loss", "{:.4f}"),
    "ratio": ("memorization_ratio", "{:.3f}"),
    "best": (METRIC, "{:.3f}"),
}
"""Columns of the table of running trials: the metric of the last evaluation and its format."""
_DISPENSABLE = ("loss", "epoch")
"""Columns that are left out of a terminal that is too narrow, the first one first."""


@dataclass(frozen=True)
class Sweep:
    """What is drawn.

    Attributes:
        name: of the sweep.
        varied: the settings that distinguish its trials.
        total: trials of the whole sweep; None where it is unknown.
        target: of an EMM search, the ratio that it looks for.
        trials: the known ones.
        planned: images that all trials together train on.
        elapsed: seconds since the start of this session.
        seconds_left: None where unknown.
    """

    name: str
    varied: Sequence[str]
    total: int | None
    target: float | None
    trials: Sequence[TrialView]
    planned: float
    elapsed: float
    seconds_left: float | None


def screen(sweep: Sweep, console: Console) -> Group:
    """Return what a terminal shows."""
    head = Text(f"{sweep.name}  {_counts(sweep)}", style="bold")
    clock = Text(", ".join(filter(None, [f"{duration(sweep.elapsed)} so far", _time_left(sweep)])), style="dim")
    parts: list[RenderableType] = [head]
    if sweep.target is not None:
        # How far a search is, no bar can show: what is known of each value does.
        parts += [clock, _known(sweep.trials, sweep.varied, sweep.target)]
    else:
        planned = max(1.0, sweep.planned)
        trained = min(planned, sum(trial.images_seen for trial in sweep.trials))
        line = Table.grid(padding=_PADDING)
        line.add_row(ProgressBar(total=planned, completed=trained, width=30), f"{100 * trained / planned:.0f}%", clock)
        parts.append(line)
    table = _running(sweep.trials, console)
    return Group(*parts, *([] if table is None else [table]))


def progress_line(sweep: Sweep) -> str:
    """Return in one line how far the running trials are."""
    running = _active(sweep.trials)
    shown = [f"{trial.title} {_part(trial)}" for trial in running[:_PLAIN_TRIALS]]
    if len(running) > _PLAIN_TRIALS:
        shown.append(f"{len(running) - _PLAIN_TRIALS} more")
    speeds = [trial.images_per_second for trial in running if trial.images_per_second is not None]
    speed = f"{sum(speeds):,.0f} images/s" if speeds else ""
    return "; ".join(part for part in (_counts(sweep), ", ".join(shown), speed, _time_left(sweep)) if part)


def done_prefix(ends: Mapping[End, int], total: int | None) -> str:
    """Return what precedes the line of a trial that is done, such as `3/40, 1 diverged`.

    Args:
        ends: how many trials ended in which way.
        total: trials of the whole sweep; None where it is unknown.
    """
    done = ends.get("done", 0)
    failures: tuple[End, ...] = ("diverged", "failed")
    counts = [f"{ends[end]} {end}" for end in failures if ends.get(end)]
    return ", ".join([f"{done}" if total is None else f"{done}/{total}", *counts])


def duration(seconds: float) -> str:
    """Return a time in its two largest units, such as `2 h 05 min`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _counts(sweep: Sweep) -> str:
    states = Counter(trial.state for trial in sweep.trials)
    parts = [f"{states['done']}{'' if sweep.total is None else f' of {sweep.total}'} trials done"]
    parts.append(f"{states['running']} running")
    if states["restarting"]:
        parts.append(f"{states['restarting']} waiting to restart")
    parts += [f"{states[end]} {end}" for end in ("diverged", "failed") if states[end]]
    return ", ".join(parts)


def _time_left(sweep: Sweep) -> str:
    if sweep.total is None:
        return "ends when every EMM is known well enough"
    if len(sweep.trials) >= sweep.total and all(trial.ended for trial in sweep.trials):
        return ""
    if sweep.seconds_left is None:
        return "time left not known yet"
    if sweep.seconds_left < 1:
        return "last evaluations"
    return f"about {duration(sweep.seconds_left)} left"


def _active(trials: Sequence[TrialView]) -> list[TrialView]:
    return [trial for state in ("running", "restarting") for trial in trials if trial.state == state]


def _part(trial: TrialView) -> str:
    return f"{100 * trial.images_seen / max(1, trial.budget):.0f}%"


def _running(trials: Sequence[TrialView], console: Console) -> Table | None:
    """The running trials, in as many columns as the terminal has room for."""
    active = _active(trials)
    if not active:
        return None
    columns = list(_METRICS)
    for dispensable in (*_DISPENSABLE, None):
        table = _table(active, columns)
        needed = Measurement.get(console, console.options.update(max_width=_UNLIMITED), table).maximum
        if dispensable is None or needed <= console.width:
            break
        columns.remove(dispensable)
    return table


def _table(active: Sequence[TrialView], columns: Sequence[str]) -> Table:
    table = Table(box=None, padding=_PADDING, pad_edge=False)
    # The only column that shrinks.
    table.add_column("trial")
    for name in ("images seen", "of budget", "images/s", *columns):
        table.add_column(name, justify="right", no_wrap=True, style="dim" if name == "loss" else None)
    for trial in active[:_ROWS]:
        speed = "-" if trial.images_per_second is None else f"{trial.images_per_second:,.0f}"
        table.add_row(
            Text(trial.title, no_wrap=True, overflow="ellipsis"),
            f"{trial.images_seen:,}",
            _part(trial),
            "restarts" if trial.state == "restarting" else speed,
            *(_cell(trial, *_METRICS[name]) for name in columns),
        )
    if len(active) > _ROWS:
        table.add_row(f"and {len(active) - _ROWS} more")
    return table


def _cell(trial: TrialView, metric: str, form: str) -> str:
    value = trial.metrics.get(metric)
    if value is None and metric == METRIC:
        value = trial.best_ratio
    return "-" if value is None else form.format(value)


def _known(trials: Sequence[TrialView], varied: Sequence[str], target: float) -> Table:
    """Of each value of a searched factor the trainings done, by size, and where its EMM must lie."""
    table = Table("EMM of", "lies", "|D| trained, with ratio", box=None, padding=_PADDING, pad_edge=False)
    keys = [key for key in varied if key not in ("data.size", "seed")]
    by_value: dict[str, list[tuple[int, float]]] = {}
    for trial in trials:
        known = by_value.setdefault(short_name(trial.config, keys) or "all", [])
        if trial.state == "done" and trial.best_ratio is not None:
            known.append((trial.config["data.size"], trial.best_ratio))
    for value, known in list(by_value.items())[:_ROWS]:
        sizes = "  ".join(f"{size:,} {100 * ratio:.0f}%" for size, ratio in sorted(known))
        table.add_row(Text(value), _where(known, target), sizes or "-")
    return table


def _where(known: Sequence[tuple[int, float]], target: float) -> str:
    low = max((size for size, ratio in known if ratio >= target), default=None)
    high = min((size for size, ratio in known if ratio < target), default=None)
    if low is None or high is None:
        return "-" if low == high else f"below {high:,}" if low is None else f"from {low:,} on"
    return f"at {low:,} to {high:,}" if low < high else f"around {high:,} to {low:,}"
