"""What was run: experiments, settings, cost, and trials that did not finish."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.results.schema import CONDITIONAL, experiment_keys
from analysis.runs.factors import dataset_title, in_order, value_label, value_text
from analysis.runs.runs import Runs
from analysis.tables.table import number
from memo_core.errors import plural

MAX_NAMED = 3
"""Varied settings beyond which a trial is named by those that are unusual."""
_STATUS = {"error": "failed", "diverged": "diverged", "running": "still running",
           "interrupted": "interrupted before the end"}  # fmt: skip
_EVALUATION_SCHEDULE = ("evaluation.every_epochs", "evaluation.every_images", "evaluation.count")
"""When a training is evaluated; `memo_core.results` has the same."""
_FACTS = {
    "factor": "Studied factor", "preset": "Preset", "search": "Search", "command": "Command", "started": "Started",
    "hardware": "Started on", "workers": "Workers", "resources": "Resources of a trial", "versions": "Versions",
    "git_commit": "Git commit",
}  # fmt: skip
"""Keys of `sweep.json` with their titles."""


@dataclass(frozen=True)
class Sweep:
    """One experiment folder."""

    name: str
    facts: Mapping[str, str]
    """Shown as they are: command, start, commit, hardware, versions."""
    trials: int
    finished: int
    planned: int | None
    """Trials that a grid was to have; unknown without `sweep.json`, and for a search, which decides as it goes."""
    problems: tuple[str, ...]
    """In words: trials that failed, were interrupted or never reported."""
    uncommitted: bool
    """The code had changes that are not in the commit of `facts`."""
    images: Mapping[str, str]
    """Source of images to the SHA-256 of its pixels."""


@dataclass(frozen=True)
class Overview:
    """What all sweeps of a report have in common, and what varied."""

    sweeps: tuple[Sweep, ...]
    constant: Mapping[str, str]
    varied: Mapping[str, str]
    """Dotted key to its values in words."""
    base: Mapping[str, Any]
    """The most frequent value of each varied setting."""
    images: int
    """Training images seen; of trials of a grid that come out of one training, those of the longest."""
    hours: Mapping[str, float]
    """By unit: `GPU-hours`, `CPU-hours` or, where the resources are unknown, `trial-hours`; they do not add up."""
    skipped: tuple[str, ...]
    """What could not be read."""

    @property
    def trials(self) -> int:
        """Trials that reported at least once."""
        return sum(sweep.trials for sweep in self.sweeps)

    @property
    def finished(self) -> int:
        """Trials with a final ratio, or a lower bound of it; see `analysis.runs.final`."""
        return sum(sweep.finished for sweep in self.sweeps)


def describe(runs: Runs) -> Overview:
    """Describe what was run."""
    last = runs.evaluations.drop_duplicates(["experiment", "trial_id"], keep="last")
    finished = runs.is_finished
    sweeps: list[Sweep] = []
    hours: dict[str, float] = {}
    images = 0
    for name, rows in last.groupby("experiment", sort=True):
        manifest = runs.sweeps.get(str(name), {})
        sweeps.append(_sweep(str(name), rows, int(finished[rows.index].sum()), manifest))
        spent, unit = _hours(rows, manifest.get("resources", {}))
        hours[unit] = hours.get(unit, 0.0) + spent
        images += _images_seen(rows, is_grid=manifest.get("search") in (None, "grid"))
    constant = {key: short(last[key].iloc[0]) for key in experiment_keys(last) if key not in runs.varied}
    return Overview(
        tuple(sweeps),
        {key: value for key, value in constant.items() if value != "none"},
        {key: _values(key, last[key]) for key in runs.varied},
        {key: last[key].value_counts(dropna=False).index[0] for key in runs.varied},
        images,
        hours,
        # Trials without an evaluation are among each sweep's problems already.
        tuple(line for line in runs.skipped if "no evaluation" not in line or not _is_planned(sweeps, line)),
    )


def _images_seen(rows: pd.DataFrame, is_grid: bool) -> int:
    """Return the training images that the trials of one sweep have seen.

    In a grid, trials that differ in what acts after a step alone come out of one training. Searches train each trial by
    itself, as do pipelines.
    """
    seen = pd.to_numeric(rows["images_seen"]).fillna(0)
    if not is_grid:
        return int(seen.sum())
    keys = [key for key in experiment_keys(rows) if key in _EVALUATION_SCHEDULE or not key.startswith("evaluation.")]
    if "model.architecture" in rows:
        keys += ["trial_id"] if (rows["model.architecture"] == "pipeline").any() else []
    training = rows.groupby([key for key in keys if key != "training.ema_decay"], dropna=False, sort=False).ngroup()
    return int(seen.groupby(training).max().sum())


def _is_planned(sweeps: list[Sweep], line: str) -> bool:
    return any(line.startswith(f"{sweep.name}:") and sweep.planned is not None for sweep in sweeps)


def opening(runs: Runs) -> str:
    """Return what was run in one line: data, network, budget, samples, trials and seeds."""
    rows = runs.evaluations
    sizes = f"|D| = {_span(rows, 'data.size')} training images"
    data = [dataset_title(rows) or _span(rows, "data.dataset"), sizes]
    network = [_span(rows, "model.architecture")]
    network += [f"{name} {text}" for name in ("width", "depth") if (text := _span(rows, f"model.{name}"))]
    budget = [f"{text} {unit}" for unit in ("images", "epochs") if (text := _span(rows, f"training.{unit}"))]
    trained = f"trained for {' or '.join(budget)}" if budget else ""
    samples = f"{_span(rows, 'num_samples')} samples an evaluation" if "num_samples" in rows else ""
    seeds = plural(int(rows["seed"].nunique()), "training seed") if "seed" in rows else ""
    count = ", ".join(filter(None, (plural(runs.num_trials, "trial"), seeds)))
    parts = [", ".join(filter(None, data)), ", ".join(filter(None, [*network, trained])), samples, count]
    return "; ".join(filter(None, parts))


def _span(rows: pd.DataFrame, key: str) -> str:
    """Return the values of a setting in short: one, two or three, or the ends of many numbers; empty without any."""
    if key not in rows:
        return ""
    values = [value for value in in_order(key, rows[key].unique()) if not pd.isna(value)]
    texts = [
        value_text(key, value) if isinstance(value, str) or key == "data.size" else short(value) for value in values
    ]
    if len(texts) > 3:
        return f"{texts[0]} to {texts[-1]}" if not isinstance(values[0], str) else f"{len(texts)} values"
    return ", ".join(texts[:-1]) + (" and " if len(texts) > 1 else "") + texts[-1] if texts else ""


def setting_text(
    row: "Mapping[str, Any] | pd.Series", keys: Iterable[str], base: Mapping[str, Any] | None = None
) -> str:
    """The varied settings of one trial in words, such as `|D| = 10, Weight decay = 0.1`.

    Where many vary, those that have their usual value (`base`) are left out; how they are measured always is.
    """
    named = [key for key in keys if not key.startswith("evaluation.")]
    if base is not None and len(named) > MAX_NAMED:
        named = [key for key in named if key == "data.size" or (key != "seed" and short(row[key]) != short(base[key]))]
    texts = [value_label(key, row[key]) for key in named if key not in CONDITIONAL or not pd.isna(row[key])]
    return ", ".join(texts) or "the only setting"


def short(value: Any) -> str:
    """A setting as a reader would write it: 1,000 and 0.0001, `none` where it is missing."""
    if pd.isna(value):
        return "none"
    return str(value) if isinstance(value, bool | str) else number(float(value))


def _values(key: str, column: pd.Series) -> str:
    texts = [value_text(key, value) for value in in_order(key, column.tolist())]
    return ", ".join(texts) if len(texts) <= 16 else f"{', '.join(texts[:6])}, ..., {texts[-1]} ({len(texts)} values)"


def _hours(rows: pd.DataFrame, resources: Mapping[str, float]) -> tuple[float, str]:
    spent = float(pd.to_numeric(rows["seconds"]).fillna(0).sum()) / 3600
    gpu, cpu = float(resources.get("gpu", 0) or 0), float(resources.get("cpu", 0) or 0)
    if gpu > 0:
        return spent * gpu, "GPU-hours"
    return (spent * cpu, "CPU-hours") if cpu > 0 else (spent, "trial-hours")


def _sweep(name: str, rows: pd.DataFrame, finished: int, manifest: Mapping[str, Any]) -> Sweep:
    facts = {}
    for key, title in _FACTS.items():
        value = manifest.get(key)
        if isinstance(value, list):
            value = ("; " if key == "workers" else " ").join(map(str, value))
        elif isinstance(value, dict):
            texts = {part: number(what) if isinstance(what, float) else what for part, what in value.items()}
            value = ", ".join(f"{part} {text}" for part, text in texts.items())
        if value:
            facts[title] = str(value)
    if manifest.get("later_starts"):
        facts["Started again"] = _later_starts(manifest)
    folder = _folder(rows)
    planned = manifest.get("planned")
    problems = tuple(_problems(rows, finished, planned, folder))
    uncommitted, images = bool(manifest.get("git_dirty")), manifest.get("images", {})
    return Sweep(name, facts, len(rows), finished, planned, problems, uncommitted, images)


def _later_starts(manifest: Mapping[str, Any]) -> str:
    """Return how often a run was resumed or extended, and what of its code or packages was not as at its start."""
    starts: list[Mapping[str, Any]] = manifest["later_starts"]
    changed = []
    commits = dict.fromkeys(start.get("git_commit") for start in starts)
    if other := [commit for commit in commits if commit and commit != manifest.get("git_commit")]:
        changed.append(f"Git commit {', '.join(other)}")
    if not manifest.get("git_dirty") and any(start.get("git_dirty") for start in starts):
        changed.append("changes that are not committed")
    first = manifest.get("versions", {})
    versions = {
        f"{name} {version}": None
        for start in starts
        for name, version in start.get("versions", {}).items()
        if version != first.get(name)
    }
    changed += versions
    last = f", last {starts[-1]['started']}" if starts[-1].get("started") else ""
    code = f"then with {', '.join(changed)}" if changed else "the same code"
    return f"{plural(len(starts), 'time')}{last}; {code}"


def _problems(rows: pd.DataFrame, finished: int, planned: int | None, folder: Path | None) -> list[str]:
    problems = []
    if "status" in rows:
        counts = rows["status"].astype(str).value_counts()
        problems += [
            f"{plural(int(count), 'trial')} {_STATUS[status]}" for status, count in counts.items() if status in _STATUS
        ]
    elif finished < len(rows):
        problems.append(f"{plural(len(rows) - finished, 'trial')} short of the budget")
    if planned is not None and planned > len(rows):
        problems.append(f"{plural(planned - len(rows), 'trial')} of {planned} never reported a number")
    if folder is not None:
        for file in sorted(folder.glob("*/error.txt"))[:5]:
            try:
                lines = file.read_text(errors="replace").strip().splitlines()
            except OSError:
                continue
            problems.append(f"error in {file.parent.name}: {lines[-1][:200] if lines else 'no message'}")
    return problems


def _folder(rows: pd.DataFrame) -> Path | None:
    """The experiment folder of some trials, where it lies on this machine."""
    if "folder" not in rows or "://" in str(rows["folder"].iloc[0]):
        return None
    folder = Path(str(rows["folder"].iloc[0])).parent
    return folder if folder.is_dir() else None
