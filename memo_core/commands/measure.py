"""Compare a generated image set with a training set: memorization ratio, distances, coverage, duplicates, FID."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memo_core.command_line import add_threads_argument, parse_device, set_threads
from memo_core.commands.duplicates import add_duplicates_argument, wants_duplicates
from memo_core.errors import MemosweepError, escaped, plural
from memo_core.files import check_output_file, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from memo_core.measure import PromptMeasure, Replicated

MAX_REPLICATED = 5
"""Replicated training images that are named."""
MAX_PROMPTS = 20
"""Prompts that are listed; JSON has all."""
MAX_IMAGES_OF_A_PROMPT = 3
"""Replicated training images that are named beside a prompt."""
_MIN_THRESHOLD, _MAX_THRESHOLD = 0.001, 0.999
"""The criterion takes the threshold as a fraction with a denominator up to 1,000."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    kinds = "digits, cifar10, EDM zip or folder, .npz with `images`, or image folder"
    parser.add_argument("--training", required=True, metavar="SET", help=kinds)
    parser.add_argument("--generated", required=True, metavar="SET", help="the same kinds")
    parser.add_argument(
        "--threshold",
        type=float,
        default=1 / 3,
        help="below which the ratio of the two smallest distances counts as memorized (default: 1/3)",
    )
    parser.add_argument("--pairs", type=Path, metavar="FILE.csv",
                        help="write a row per sample: nearest training image, distances, memorized")  # fmt: skip
    parser.add_argument("--gallery", type=Path, metavar="FILE.png",
                        help="draw samples beside their nearest training images, most certain first")  # fmt: skip
    parser.add_argument("--neighbors", choices=("exact", "faiss"), default="exact",
                        help="how they are searched, with the same numbers (default: exact); faiss needs "
                             "memosweep[faiss-cpu] or memosweep[faiss-gpu]")  # fmt: skip
    parser.add_argument("--fid", action="store_true", help="measure the FID too; needs memosweep[fid]")
    add_duplicates_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_threads_argument(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")


def run(options: argparse.Namespace) -> None:
    """Read both sets, measure, write what was requested, print the numbers."""
    from memo_core.data.arrays import read_image_prompts  # noqa: PLC0415
    from memo_core.data.image_sets import match_channels  # noqa: PLC0415
    from memo_core.data.training_set import load_named_images  # noqa: PLC0415
    from memo_core.measure import (  # noqa: PLC0415
        FrechetDistance,
        exact_duplicates,
        find_duplicates,
        gallery_png,
        measure_by_prompt,
        measure_coverage,
        measure_memorization,
        most_replicated,
        pairs_csv,
    )
    from memo_core.measure.faiss_search import neighbor_search  # noqa: PLC0415
    from memo_core.measure.pairs import short_names  # noqa: PLC0415

    if not _MIN_THRESHOLD <= options.threshold <= _MAX_THRESHOLD:
        raise MemosweepError(
            f"--threshold {options.threshold}: expected a number between 0 and 1 ({_MIN_THRESHOLD} to {_MAX_THRESHOLD})"
        )
    _check_outputs(options)
    neighbor_search(options.neighbors)
    set_threads(options.threads)
    device = parse_device(options.device)
    training, training_names = load_named_images(options.training)
    generated, sample_names = load_named_images(options.generated)
    _check_comparable(options, training, generated)
    prompts = read_image_prompts(Path(options.generated).expanduser(), len(generated)) or ()
    training, generated = match_channels(training, generated)
    training = training.to(device)
    # First, since it may lack its network.
    fid = FrechetDistance(training) if options.fid else None
    result = measure_memorization(generated, training, options.threshold, options.neighbors)
    numbers: dict[str, Any] = {**result.summary(), **measure_coverage(result).summary()}
    if fid is not None:
        fid.add(generated)
        numbers["fid"] = fid.take()
    if wants_duplicates(options, len(training)):
        numbers |= find_duplicates(training, options.threshold).summary()
    else:
        numbers["exact_duplicates"] = int(exact_duplicates(training).sum())
    short_training_names = short_names(training_names)
    image_names = training_names if options.json else short_training_names
    replicated, by_prompt = most_replicated(result), measure_by_prompt(result, prompts)
    numbers |= {
        "single_color_samples": _count_single_color(generated),
        "training_size": len(training),
        "threshold": options.threshold,
        "replicated_images": len(replicated),
        "most_replicated": _most_replicated(replicated, image_names),
    }
    if prompts:
        numbers["prompts"] = [_of_prompt(measure, image_names) for measure in by_prompt]
    if options.pairs is not None:
        # File names of a folder may hold bytes that are not text.
        table = pairs_csv(result, sample_names, training_names, prompts)
        write_atomically(options.pairs, table.encode(errors="backslashreplace"))
    if options.gallery is not None:
        short_sample_names = short_names(sample_names)
        picture = gallery_png(generated, training, result, short_sample_names, short_training_names, by_prompt)
        write_atomically(options.gallery, picture)
    if options.json:
        # JSON knows no NaN: what is undefined without replicas is null.
        print(json.dumps({name: None if _is_nan(value) else value for name, value in numbers.items()}))
        return
    print("\n".join(_lines(numbers)))
    for what, file in (("pairs", options.pairs), ("gallery", options.gallery)):
        if file is not None:
            print(f"{what} in {file}")


def _most_replicated(replicated: "Sequence[Replicated]", names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"image": names[image.index], "replicas": image.replicas, "smallest_distance": image.smallest_distance}
        for image in replicated[:MAX_REPLICATED]
    ]


def _of_prompt(measure: "PromptMeasure", names: Sequence[str]) -> dict[str, Any]:
    """Return the reported numbers of one prompt by their names."""
    low, high = measure.result.interval
    images = measure.images
    return {
        "prompt": measure.prompt,
        "num_samples": measure.result.num_samples,
        "replicas": measure.replicas,
        "memorization_ratio": measure.result.ratio,
        "memorization_ratio_low": low,
        "memorization_ratio_high": high,
        "replicated_images": len(images),
        "most_replicated": _most_replicated(images, names),
    }


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _check_outputs(options: argparse.Namespace) -> None:
    for option, file, ending in (("--pairs", options.pairs, ".csv"), ("--gallery", options.gallery, ".png")):
        if file is None:
            continue
        if file.suffix.lower() != ending:
            raise MemosweepError(f"{option} {file}: expected a file ending in {ending}")
        check_output_file(file, option)
    for option, name in (("--training", options.training), ("--generated", options.generated)):
        # The next reading of the folder would take the picture for one of its images.
        if options.gallery is not None and _is_inside(options.gallery, name):
            raise MemosweepError(f"--gallery {options.gallery}: is inside the image folder of {option}, name another")


def _check_comparable(options: argparse.Namespace, training: "Tensor", generated: "Tensor") -> None:
    """Refuse sets that the criterion cannot compare, by the options that name them."""
    if len(training) < 2:
        raise MemosweepError(
            f"--training {options.training}: holds 1 image; at least 2 are needed, since the criterion compares the "
            "distances to the nearest and the second nearest"
        )
    own, other = (f"{images.shape[3]} x {images.shape[2]}" for images in (generated, training))
    if own != other:
        raise MemosweepError(
            f"--generated {options.generated}: images of {own} pixels, and {other} in --training {options.training}: "
            "both sets must have one size"
        )
    if options.fid and len(generated) < 2:
        raise MemosweepError(f"--generated {options.generated}: holds 1 image, and --fid needs at least 2")


def _lines(numbers: dict[str, Any]) -> list[str]:
    size = numbers["training_size"]
    lines = [
        f"memorization ratio {numbers['memorization_ratio']:.4f} "
        f"[{numbers['memorization_ratio_low']:.4f}, {numbers['memorization_ratio_high']:.4f}] "
        f"of {plural(numbers['num_samples'], 'sample')} against {plural(size, 'training image')}; "
        f"kNN distance {numbers['knn_distance']:.3f}",
        f"calibrated distance {numbers['calibrated_distance']:.4f}, below 1 for {numbers['calibrated_ratio']:.4f} "
        "of the samples",
    ]
    if numbers["replicas"]:
        lines.append(
            f"coverage {numbers['coverage']:.4f} of the training images are replicated "
            f"(at random: {numbers['coverage_if_uniform']:.4f}); "
            f"Gini {numbers['replica_gini']:.3f}; the top 1% hold {numbers['replica_share_top_1_percent']:.1%} "
            f"and the top 10% {numbers['replica_share_top_10_percent']:.1%} of {plural(numbers['replicas'], 'replica')}"
        )
        lines.append("most replicated training images:")
        lines += [
            f"  {image['image']}: {plural(image['replicas'], 'replica')}, "
            f"smallest distance {image['smallest_distance']:.3f}"
            for image in numbers["most_replicated"]
        ]
        if more := numbers["replicated_images"] - len(numbers["most_replicated"]):
            lines.append(f"  and {more:,} more")
    else:
        lines.append("coverage: no sample is a replica, so that no training image is covered")
    if copies := numbers["exact_duplicates"]:
        lines.append(
            f"{plural(copies, 'training image')} {'is an exact duplicate' if copies == 1 else 'are exact duplicates'} "
            f"of others: {'its' if copies == 1 else 'their'} replicas cannot count"
        )
    if "near_duplicates" in numbers:
        near = numbers["near_duplicates"]
        lines.append(
            f"{plural(near, 'training image')} {'has' if near == 1 else 'have'} a near copy among the others"
            + (", exact ones included" if numbers["exact_duplicates"] else "")
        )
    if single := numbers["single_color_samples"]:
        have = "has" if single == 1 else "have"
        lines.append(f"{plural(single, 'sample')} {have} a single color: the network may have diverged")
    if "fid" in numbers:
        lines.append(f"FID {numbers['fid']:.3f}")
    return [*lines, *_prompt_lines(numbers.get("prompts", []))]


def _prompt_lines(prompts: Sequence[dict[str, Any]]) -> list[str]:
    """Return a table with a line per prompt."""
    if not prompts:
        return []
    shown = prompts[:MAX_PROMPTS]
    header = ("prompt", "samples", "memorization ratio", "most replicated training images")
    rows = [
        (
            escaped(row["prompt"]),
            f"{row['num_samples']:,}",
            f"{row['memorization_ratio']:.4f} [{row['memorization_ratio_low']:.4f}, "
            f"{row['memorization_ratio_high']:.4f}]",
            _images_of(row),
        )
        for row in shown
    ]
    first, second = (max(len(row[column]) for row in [header, *rows]) for column in (0, 1))
    lines = ["by prompt, those with the most replicas first:"]
    for row in [header, *rows]:
        lines.append(f"  {row[0]:<{first}}  {row[1]:>{second}}  {row[2]:<23}  {row[3]}".rstrip())
    if more := len(prompts) - len(shown):
        lines.append(f"  and {more:,} more prompts, which --json lists")
    return lines


def _images_of(row: dict[str, Any]) -> str:
    """Return the training images that a prompt replicates, each with its replicas."""
    named = row["most_replicated"][:MAX_IMAGES_OF_A_PROMPT]
    names = [f"{image['image']} ({image['replicas']:,})" for image in named]
    more = row["replicated_images"] - len(named)
    return ", ".join([*names, *([f"and {more:,} more"] if more else [])]) or "none"


def _is_inside(file: Path, name: str) -> bool:
    if name.strip() in ("", "digits", "cifar10"):
        return False
    try:
        return file.resolve().is_relative_to(Path(name).expanduser().resolve())
    # No path at all, or an unknown home: opening the set says so.
    except (OSError, RuntimeError, ValueError):
        return False


def _count_single_color(images: "Tensor") -> int:
    """Return how many images (N, C, H, W) have one color in all their pixels."""
    flat = images.flatten(2)
    return int((flat.amin(2) == flat.amax(2)).all(1).sum())
