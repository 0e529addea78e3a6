"""Draw images from a snapshot: a checkpoint, an EDM .pkl, or EDM-named .safetensors."""

import argparse
import io
from pathlib import Path

from memo_core.command_line import add_threads_argument, check_threads, parse_device, parse_seeds, set_threads
from memo_core.commands.progress import progress_bar
from memo_core.errors import MemosweepError, plural
from memo_core.files import check_output_file, write_atomically

_PICTURE_SIDE = 64
"""Pixels a side that an image has in a picture at least."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--snapshot", required=True, help="checkpoint, .pkl or .safetensors")
    parser.add_argument("--seeds", default="0-15", help="one image each, such as 0-15 or 3,7,20-29")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.npz|FILE.png",
                        help="image set, or a picture of all images")  # fmt: skip
    parser.add_argument("--steps", type=int, default=18, help="noise levels (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=500, help="images at once (default: %(default)s)")
    add_threads_argument(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")


def run(options: argparse.Namespace) -> None:
    """Sample and write the image set, image i from its own seed."""
    from torchvision.utils import make_grid, save_image  # noqa: PLC0415

    from memo_core.data.image_sets import write_npz  # noqa: PLC0415
    from memo_core.interop import load_snapshot  # noqa: PLC0415
    from memo_core.sampling import generate  # noqa: PLC0415

    seeds = parse_seeds(options.seeds)
    if options.out.suffix not in (".npz", ".png"):
        raise MemosweepError(f"--out {options.out}: expected a file ending in .npz or .png")
    for name, value, least in (("steps", options.steps, 2), ("batch-size", options.batch_size, 1)):
        if value < least:
            raise MemosweepError(f"--{name} {value}: expected at least {least}")
    check_threads(options.threads)
    check_output_file(options.out, "--out")
    device = parse_device(options.device)
    denoiser = load_snapshot(options.snapshot, device).denoiser
    set_threads(options.threads, sum(parameter.numel() for parameter in denoiser.parameters()))
    with progress_bar() as progress:
        task = progress.add_task("sampling", total=len(seeds))
        images, labels = generate(
            denoiser, seeds, options.steps, options.batch_size, on_batch=lambda n: progress.advance(task, n)
        )
    if options.out.suffix == ".png":
        buffer = io.BytesIO()
        # Small images are enlarged, pixel by pixel, to be seen at all.
        times = max(1, _PICTURE_SIDE // images.shape[-1])
        large = images.repeat_interleave(times, dim=-1).repeat_interleave(times, dim=-2)
        grid = make_grid(large.float() / 255, nrow=max(1, round(len(images) ** 0.5)), padding=2)
        save_image(grid, buffer, format="png")
        write_atomically(options.out, buffer.getvalue())
    else:
        write_npz(options.out, images.numpy(), None if labels is None else labels.numpy())
    print(f"{plural(len(images), 'image')} in {options.out}")
