"""Draw images from a snapshot (a checkpoint, an EDM .pkl, EDM-named .safetensors) or a text-to-image pipeline."""

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

from memo_core.command_line import add_threads_argument, check_threads, parse_device, parse_seeds, set_threads
from memo_core.commands.progress import progress_bar
from memo_core.errors import MemosweepError, plural
from memo_core.files import check_output_file, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

_PICTURE_SIDE = 64
"""Pixels a side that an image has in a picture at least."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--snapshot", help="checkpoint, .pkl or .safetensors")
    source.add_argument("--pipeline", metavar="FOLDER",
                        help="a Stable Diffusion in diffusers' format, or its name on the hub")  # fmt: skip
    parser.add_argument("--lora", type=Path, metavar="FILE", help="adapters for --pipeline, .safetensors")
    parser.add_argument("--prompts", type=Path, metavar="FILE",
                        help="for --pipeline, one a line; they take turns: seed s has prompt s modulo their "
                             "number")  # fmt: skip
    parser.add_argument("--guidance-scale", type=float, help="for --pipeline (default: 7.5)")
    parser.add_argument("--resolution", type=int, metavar="PIXELS", help="a side, for --pipeline (default: its own)")
    parser.add_argument("--seeds", default="0-15", help="one image each, such as 0-15 or 3,7,20-29")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.npz|FILE.png",
                        help="image set, or a picture of all images")  # fmt: skip
    parser.add_argument("--steps", type=int, help="noise levels (default: 18; of a pipeline 50 steps of DDIM)")
    parser.add_argument("--batch-size", type=int, help="images at once (default: 500; of a pipeline 8)")
    add_threads_argument(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")


def run(options: argparse.Namespace) -> None:
    """Sample and write the image set, image i from its own seed."""
    from torchvision.utils import make_grid, save_image  # noqa: PLC0415

    from memo_core.data.image_sets import write_npz  # noqa: PLC0415

    _check_options(options)
    seeds = parse_seeds(options.seeds)
    if options.out.suffix not in (".npz", ".png"):
        raise MemosweepError(f"--out {options.out}: expected a file ending in .npz or .png")
    for name, value, least in (("steps", options.steps, 2), ("batch-size", options.batch_size, 1)):
        if value is not None and value < least:
            raise MemosweepError(f"--{name} {value}: expected at least {least}")
    check_threads(options.threads)
    check_output_file(options.out, "--out")
    prompts: tuple[str, ...] = ()
    if options.pipeline is None:
        images, labels = _of_snapshot(options, seeds)
    else:
        images, labels, prompts = _of_pipeline(options, seeds)
    if options.out.suffix == ".png":
        buffer = io.BytesIO()
        # Small images are enlarged, pixel by pixel, to be seen at all.
        times = max(1, _PICTURE_SIDE // images.shape[-1])
        large = images.repeat_interleave(times, dim=-1).repeat_interleave(times, dim=-2)
        grid = make_grid(large.float() / 255, nrow=max(1, round(len(images) ** 0.5)), padding=2)
        save_image(grid, buffer, format="png")
        write_atomically(options.out, buffer.getvalue())
    else:
        write_npz(options.out, images.numpy(), None if labels is None else labels.numpy(), prompts)
    print(f"{plural(len(images), 'image')} in {options.out}")


_OF_PIPELINES = ("lora", "prompts", "guidance_scale", "resolution")


def _check_options(options: argparse.Namespace) -> None:
    if options.pipeline is None:
        for name in _OF_PIPELINES:
            if getattr(options, name) is not None:
                raise MemosweepError(f"--{name.replace('_', '-')} goes with --pipeline, not with --snapshot")
    elif options.prompts is None:
        raise MemosweepError("--prompts is missing: a file with one prompt a line, for --pipeline")
    scale = options.guidance_scale
    if scale is not None and not 0 <= scale < float("inf"):
        raise MemosweepError(f"--guidance-scale {scale}: expected a number from 0")


def _of_snapshot(options: argparse.Namespace, seeds: list[int]) -> "tuple[Tensor, Tensor | None]":
    from memo_core.interop import load_snapshot  # noqa: PLC0415
    from memo_core.sampling import generate  # noqa: PLC0415

    denoiser = load_snapshot(options.snapshot, parse_device(options.device)).denoiser
    set_threads(options.threads, sum(parameter.numel() for parameter in denoiser.parameters()))
    with progress_bar() as progress:
        task = progress.add_task("sampling", total=len(seeds))
        return generate(
            denoiser,
            seeds,
            options.steps or 18,
            options.batch_size or 500,
            on_batch=lambda count: progress.advance(task, count),
        )


def _of_pipeline(options: argparse.Namespace, seeds: list[int]) -> "tuple[Tensor, Tensor, tuple[str, ...]]":
    from memo_core.text.drawing import draw_images, read_prompts  # noqa: PLC0415 - diffusers, which is an extra

    set_threads(options.threads)
    prompts, device = read_prompts(options.prompts), parse_device(options.device)
    with progress_bar() as progress:
        task = progress.add_task("sampling", total=len(seeds))
        images, which = draw_images(
            options.pipeline,
            prompts,
            seeds,
            options.lora,
            options.resolution,
            options.steps or 50,
            7.5 if options.guidance_scale is None else options.guidance_scale,
            options.batch_size or 8,
            device,
            on_batch=lambda count: progress.advance(task, count),
        )
    return images, which, prompts
