"""Compare a generated image set with a training set: memorization ratio and kNN distance."""

import argparse
import json

from memo_core.errors import MemosweepError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    kinds = "digits, cifar10, EDM zip or folder, .npz with `images`, or image folder"
    parser.add_argument("--training", required=True, metavar="SET", help=kinds)
    parser.add_argument("--generated", required=True, metavar="SET", help="the same kinds")
    parser.add_argument("--threshold", type=float, default=1 / 3, help="of the distances' ratio (default: 1/3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")


def run(options: argparse.Namespace) -> None:
    """Read both sets, search neighbours, print the numbers."""
    import torch  # noqa: PLC0415

    from memo_core.data.training_set import load_image_set  # noqa: PLC0415
    from memo_core.measure.memorization import measure_memorization  # noqa: PLC0415

    if not 0 < options.threshold < 1:
        raise MemosweepError(f"--threshold {options.threshold}: expected a number between 0 and 1")
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    training = load_image_set(options.training).to(device)
    generated = load_image_set(options.generated)
    numbers = {
        **measure_memorization(generated, training, options.threshold).summary(),
        "training_size": len(training),
        "threshold": options.threshold,
    }
    if options.json:
        print(json.dumps(numbers))
        return
    print(
        f"memorization ratio {numbers['memorization_ratio']:.4f} "
        f"[{numbers['memorization_ratio_low']:.4f}, {numbers['memorization_ratio_high']:.4f}] "
        f"of {numbers['num_samples']:,} samples against {len(training):,} training images; "
        f"kNN distance {numbers['knn_distance']:.3f}"
    )
