"""Compare a generated image set with a training set: memorization ratio, distances, coverage, duplicates, FID."""

import argparse
import json
import math
from typing import Any

from memo_core.command_line import parse_device
from memo_core.commands.duplicates import add_duplicates_argument, wants_duplicates
from memo_core.errors import MemosweepError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    kinds = "digits, cifar10, EDM zip or folder, .npz with `images`, or image folder"
    parser.add_argument("--training", required=True, metavar="SET", help=kinds)
    parser.add_argument("--generated", required=True, metavar="SET", help="the same kinds")
    parser.add_argument("--threshold", type=float, default=1 / 3, help="of the distances' ratio (default: 1/3)")
    parser.add_argument("--fid", action="store_true", help="measure the FID too; needs memosweep[fid]")
    add_duplicates_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")


def run(options: argparse.Namespace) -> None:
    """Read both sets, measure, print the numbers."""
    from memo_core.data.training_set import load_image_set  # noqa: PLC0415
    from memo_core.measure import FrechetDistance, find_duplicates, measure_coverage  # noqa: PLC0415
    from memo_core.measure.memorization import measure_memorization  # noqa: PLC0415

    if not 0 < options.threshold < 1:
        raise MemosweepError(f"--threshold {options.threshold}: expected a number between 0 and 1")
    device = parse_device(options.device)
    training = load_image_set(options.training).to(device)
    generated = load_image_set(options.generated)
    # First, since it may lack its network.
    fid = FrechetDistance(training) if options.fid else None
    result = measure_memorization(generated, training, options.threshold)
    numbers: dict[str, Any] = {**result.summary(), **measure_coverage(result).summary()}
    if fid is not None:
        fid.add(generated)
        numbers["fid"] = fid.take()
    if wants_duplicates(options, len(training)):
        numbers |= find_duplicates(training, options.threshold).summary()
    numbers |= {"training_size": len(training), "threshold": options.threshold}
    if options.json:
        # JSON knows no NaN: what is undefined without replicas is null.
        print(json.dumps({name: None if math.isnan(value) else value for name, value in numbers.items()}))
        return
    print("\n".join(_lines(numbers)))


def _lines(numbers: dict[str, Any]) -> list[str]:
    size = numbers["training_size"]
    lines = [
        f"memorization ratio {numbers['memorization_ratio']:.4f} "
        f"[{numbers['memorization_ratio_low']:.4f}, {numbers['memorization_ratio_high']:.4f}] "
        f"of {numbers['num_samples']:,} samples against {size:,} training images; "
        f"kNN distance {numbers['knn_distance']:.3f}",
        f"calibrated distance {numbers['calibrated_distance']:.4f}, below 1 for {numbers['calibrated_ratio']:.4f} "
        "of the samples",
        f"coverage {numbers['coverage']:.4f} of the training images are replicated "
        f"(at random: {numbers['coverage_if_uniform']:.4f})",
    ]
    if numbers["replicas"]:
        lines[-1] += (
            f"; Gini {numbers['replica_gini']:.3f}; the top 1% hold {numbers['replica_share_top_1_percent']:.1%} and "
            f"the top 10% {numbers['replica_share_top_10_percent']:.1%} of {numbers['replicas']:,} replicas"
        )
    if "near_duplicates" in numbers:
        lines.append(
            f"{numbers['near_duplicates']:,} training images have a near copy among the others, "
            f"{numbers['exact_duplicates']:,} an exact one"
        )
    if "fid" in numbers:
        lines.append(f"FID {numbers['fid']:.3f}")
    return lines
