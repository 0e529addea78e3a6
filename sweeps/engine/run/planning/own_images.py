"""`--data IMAGES`: settings for a study of one's own images, found by looking at them and a short training on them."""

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memo_core.command_line import parse_duration
from memo_core.errors import MemosweepError, plural
from memo_core.experiment import Experiment, FlatExperiment
from memo_core.experiment.presets import LAPTOP, PAPER, with_settings
from sweeps.engine.plans.factor import Factor, Preset, absolute_value, family_of
from sweeps.engine.plans.plan import Plan
from sweeps.engine.plans.ranges import split_ranges

if TYPE_CHECKING:
    from memo_core.calibration import Growth, Point
    from memo_core.data.sources import ImageSource

_CALIBRATION = "3min"
_CHOSEN = ("data.dataset", "data.resolution", "training.learning_rate", "training.images")
_OF_CLASSES = ("data.classes", "data.blend_ratio")
_SIDES = (32, 16, 8)
"""Pixels a side that a laptop study may have, the best first: the U-Net halves its images."""
_PAPER_SIDES = (64, 32, 16, 8)
_TRIAL_SECONDS = 120.0
"""Of the preset's images, at most, for a resolution to be chosen."""
_MEASURED_SECONDS = 2.0
_RATES = (5e-3, 1.5e-2)
"""Of `laptop-cifar` and of `laptop`."""
_SMALLEST = 10
"""|D| of the calibration: the smallest of most laptop studies."""
_STEP, _MOST = 1_000, 60_000
"""Images between two evaluations of the calibration, and in all."""
_SAMPLES = 64
_MARGIN = 2
"""The budget is this times what the smallest set took: `laptop` has it on the digits, and there sets of twice that size
are memorized in part, which is where effects show."""
_LOOKED_AT = 50
"""Images whose sizes are read."""


Check = Callable[[FlatExperiment], object]
"""Takes the settings that are chosen without a calibration, by dotted key; raises MemosweepError where a sweep with
them could not start."""


@dataclass(frozen=True)
class Suggestion:
    """What to train the images with, and why."""

    settings: FlatExperiment
    """By dotted key, with the data set itself."""
    reasons: tuple[str, ...]
    """In words, a line each."""


def suggest(
    dataset: str,
    given: Mapping[str, object],
    factor_key: str,
    paper: bool,
    seconds: float,
    say: Callable[[str], object],
    check: Check = lambda settings: None,
    device: str = "cpu",
) -> Suggestion:
    """Choose resolution, learning rate and budget for some images.

    Args:
        dataset: as `data.dataset`.
        given: settings that the user has chosen, which stay.
        factor_key: of the setting that the sweep varies, which stays free.
        paper: for the paper's studies: its learning rate and budget stay, since they need no calibration on a GPU.
        seconds: for the calibration; 0 leaves it out, and the preset's rate and budget stay.
        say: called with lines on what is done.
        check: called before a calibration, see `Check`.
        device: that measures speeds and calibrates.

    Raises:
        MemosweepError: the images cannot be read, or are fewer than 2; or what `check` raises.
    """
    dataset = str(absolute_value("data.dataset", dataset))
    from memo_core.data.sources import open_source  # noqa: PLC0415 (loads torch)

    source = open_source(dataset)
    if source.size < 2:
        raise MemosweepError(f"--data {dataset}: {plural(source.size, 'image')}; at least 2 are needed, better 100")
    sides, channels = _sides_of(source)
    chosen: FlatExperiment = {"data.dataset": dataset}
    reasons = [_described(source, sides, channels)]
    free = [key for key in ("data.resolution", "training.learning_rate") if key not in given and key != factor_key]
    base = with_settings(PAPER if paper else LAPTOP, {**given, **chosen, "data.size": min(_SMALLEST, source.size)})
    if "data.resolution" in free:
        resolution, reason = _paper_resolution(sides) if paper else _laptop_resolution(base, sides, device)
        chosen["data.resolution"] = base["data.resolution"] = resolution
        reasons.append(reason)
    has_budget = "training.images" in given or "training.epochs" in given
    has_rate = "training.learning_rate" not in free
    if not (paper or seconds == 0 or (has_budget and has_rate)):
        rates = (float(base["training.learning_rate"]),) if has_rate else _RATES
        check({**chosen})
        best = _calibrated(base, rates, seconds, say, device)
        if not best.points:
            reasons.append(_unmeasured(best, seconds))
            return Suggestion(chosen, tuple(reasons))
        budget, reason = _budget(best, base["data.size"], seconds)
        reasons.append(f"learning rate {best.learning_rate:g}: {reason}")
        if not has_rate:
            chosen["training.learning_rate"] = best.learning_rate
        if not has_budget:
            chosen["training.images"] = budget
            reasons.append(f"training.images {budget:,}: {_MARGIN} times as many, as larger sets take longer")
    return Suggestion(chosen, tuple(reasons))


def own_images_settings(
    factor: Factor, options: argparse.Namespace, preset: Preset, check: Check = lambda settings: None
) -> list[str]:
    """Return what `--data` adds to `--set`; prints what was chosen and why.

    Args:
        factor: that the sweep varies.
        options: of the command line.
        preset: whose studies are run.
        check: called before a calibration, see `Check`.

    Raises:
        MemosweepError: the images cannot be read, or do not serve; or what `check` raises.
    """
    if factor.fine_tunes:
        raise MemosweepError(
            f"--data: {factor.name} fine-tunes a pipeline, for which nothing is calibrated; give the images by "
            "--set data.dataset=PATH, with --set data.resolution=N and --set text.captions=FILE"
        )
    given, _ = split_ranges(options.set)
    text = options.calibration or _CALIBRATION
    seconds = 0.0 if text == "off" or options.dry_run else parse_duration(text, "--calibration")

    def say(line: str) -> None:
        # Standard output of a dry run is for the trials alone.
        print(line, file=sys.stderr if options.dry_run else sys.stdout, flush=True)

    found = suggest(
        options.data, given, factor.key, family_of(preset) == "paper", seconds, say, check, _device(options)
    )
    for line in found.reasons:
        say(line)
    settings = [f"{key}={value}" for key, value in found.settings.items()]
    if seconds:
        shown = " ".join(f"--set {shlex.quote(setting)}" for setting in settings)
        say(f"the same without a calibration: {shown}")
    elif options.dry_run and family_of(preset) == "laptop":
        say("learning rate and budget are found by a calibration when the sweep starts; here they are the preset's")
    return settings


def settings_of(plan: Plan) -> list[str]:
    """Return as `--set` takes them the settings that `--data` chose for a run."""
    stored = {} if plan.selection is None else plan.selection.settings
    return [f"{key}={stored[key]}" for key in _CHOSEN if key in stored]


def instead_of_cifar10(
    factor: Factor, options: argparse.Namespace, preset: Preset, begun: Plan | None = None
) -> list[str]:
    """Return settings that let a laptop study of classes do without CIFAR-10, where that cannot be had.

    Args:
        factor: that the sweep varies.
        options: of the command line.
        preset: whose studies are run.
        begun: of a run that goes on, which keeps its data set wherever CIFAR-10 can be had by now.
    """
    given, _ = split_ranges(options.set)
    if factor.key not in _OF_CLASSES or family_of(preset) == "paper" or "data.dataset" in given:
        return []
    blends = factor.key == "data.blend_ratio" and "data.blend_dataset" not in given
    digits = dict.fromkeys(("data.dataset", *(["data.blend_dataset"] if blends else [])), "digits")
    if begun is not None:
        stored = {} if begun.selection is None else begun.selection.settings
        digits = digits if digits.items() <= stored.items() else {}
        return [f"{key}={value}" for key, value in digits.items()]
    from memo_core.data.sources import open_source  # noqa: PLC0415 (loads torch)

    try:
        open_source("cifar10")
    except MemosweepError as error:
        print(f"note: {error}. The digits take its place; images of one digit are much alike, which hides effects")
    else:
        return []
    return [f"{key}={value}" for key, value in digits.items()]


def _sides_of(source: "ImageSource") -> tuple[list[tuple[int, int]], int]:
    """Return the sizes (width, height) of some images, and the largest number of channels."""
    step = max(1, source.size // _LOOKED_AT)
    shapes = [source.read(index).shape for index in range(0, source.size, step)]
    return [(width, height) for _, height, width in shapes], max(channels for channels, _, _ in shapes)


def _described(source: "ImageSource", sides: list[tuple[int, int]], channels: int) -> str:
    widths, heights = zip(*sides, strict=True)
    size = f"{min(widths)} x {min(heights)}"
    size += "" if len(set(sides)) == 1 else f" to {max(widths)} x {max(heights)}"
    return f"{source.name}: {plural(source.size, 'image')} of {size} pixels, {'gray' if channels == 1 else 'in color'}"


def _fitting(sides: list[tuple[int, int]], choices: tuple[int, ...]) -> list[int]:
    """Return the resolutions that no image is too small for.

    Raises:
        MemosweepError: there is none.
    """
    smallest = min(min(side) for side in sides)
    fitting = [side for side in choices if side <= smallest]
    if not fitting:
        raise MemosweepError(f"--data: an image has {smallest} pixels a side; at least {choices[-1]} are needed")
    return fitting


def _paper_resolution(sides: list[tuple[int, int]]) -> tuple[int, str]:
    resolution = _fitting(sides, _PAPER_SIDES)[0]
    return resolution, f"resolution {resolution}: the largest up to {_PAPER_SIDES[0]} that all images have"


def _device(options: argparse.Namespace) -> str:
    """Return what trials will be trained on, as far as this machine has it."""
    import torch  # noqa: PLC0415

    return "cuda" if options.gpus_per_trial != 0 and torch.cuda.is_available() else "cpu"


def _laptop_resolution(base: FlatExperiment, sides: list[tuple[int, int]], device: str) -> tuple[int, str]:
    """Choose the largest resolution at which trials take minutes."""
    from memo_core.threads import one_thread  # noqa: PLC0415 (loads torch)
    from memo_core.training.speed import measure_speed  # noqa: PLC0415

    fitting = _fitting(sides, _SIDES)
    times: dict[int, float] = {}
    for side in fitting:
        settings = {key: value for key, value in base.items() if key != "data.resolution"}
        experiment = Experiment.from_flat({**settings, "data.resolution": side})
        with one_thread():
            speed = measure_speed(experiment, device, _MEASURED_SECONDS)
        times[side] = experiment.total_images / speed.images_per_second
        if times[side] <= _TRIAL_SECONDS:
            break
    tried = ", ".join(f"{taken / 60:.1f} min at {side}" for side, taken in times.items())
    return side, f"resolution {side}: {experiment.total_images:,} images take {tried}"


def _calibrated(
    base: FlatExperiment, rates: tuple[float, ...], seconds: float, say: Callable[[str], object], device: str
) -> "Growth":
    """Return how the training at the best learning rate grew.

    Raises:
        MemosweepError: all of them diverged.
    """
    from memo_core.calibration import calibrate  # noqa: PLC0415 (loads torch)
    from memo_core.threads import one_thread  # noqa: PLC0415

    say(
        f"calibration: training |D| = {base['data.size']} at a learning rate of "
        f"{' and '.join(f'{rate:g}' for rate in rates)}, {_duration(seconds)} at most"
    )

    def on_point(rate: float, point: "Point") -> None:
        say(f"  rate {rate:g}: {point.images_seen:,} images, ratio {100 * point.memorization_ratio:.0f}%")

    changes = {
        "training.images": _MOST,
        "evaluation.every_images": _STEP,
        "evaluation.num_samples": _SAMPLES,
        "evaluation.fid": False,
    }
    experiment = Experiment.from_flat(with_settings(base, changes))
    with one_thread():
        best = calibrate(experiment, rates, seconds, on_point, device=device)[0]
    if best.diverged:
        raise MemosweepError(
            f"--data: the calibration diverged at a learning rate of {best.learning_rate:g}; "
            "give a lower one by --set training.learning_rate"
        )
    return best


def _budget(growth: "Growth", size: int, seconds: float) -> tuple[int, str]:
    """Return the images that trials are to see, and what that follows from; `seconds` the calibration was to take."""
    from memo_core.calibration import PASSED  # noqa: PLC0415 (loads torch)

    if growth.enough is not None:
        reason = f"|D| = {size} was memorized to {100 * PASSED:.0f}% after {growth.enough:,} images"
        return _rounded_up(_MARGIN * growth.enough), reason
    last = growth.points[-1]
    middle = growth.points[(len(growth.points) - 1) // 2]
    ratios = [f"{100 * point.memorization_ratio:.0f}%" for point in (middle, last)]
    reason = (
        f"|D| = {size} was not memorized yet after {last.images_seen:,} images: from {middle.images_seen:,} images on, "
        f"the ratio went from {ratios[0]} to {ratios[1]}, and the distance to the nearest image from "
        f"{middle.knn_distance:.1f} to {last.knn_distance:.1f}. Ratios of 0 may mean too short a training: "
        f"{_longer(seconds) if last.images_seen < _MOST else ''}raise --set training.images, or take fewer pixels by "
        "--set data.resolution"
    )
    return _rounded_up(_MARGIN * last.images_seen), reason


def _unmeasured(growth: "Growth", seconds: float) -> str:
    """Return what is said where the time was up before the first evaluation."""
    return (
        f"the preset's learning rate and budget stay: the calibration was at {growth.images_seen:,} images when its "
        f"{_duration(seconds)} were used up, and looks at the ratio after {_STEP:,}. --calibration "
        f"{_longer_minutes(seconds)}min lets it go on longer; --set data.resolution takes fewer pixels"
    )


def _longer(seconds: float) -> str:
    """Return in words how to give a calibration more time that has used up its own."""
    return (
        f"its {_duration(seconds)} are used up, --calibration {_longer_minutes(seconds)}min lets it go on longer; else "
    )


def _longer_minutes(seconds: float) -> int:
    return 10 if seconds < 300 else math.ceil(seconds / 30)


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:g} minutes"


def _rounded_up(count: int) -> int:
    """Round to two digits."""
    unit = 10.0 ** max(0, math.floor(math.log10(count)) - 1)
    return int(math.ceil(count / unit) * unit)
