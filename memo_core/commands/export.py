"""Write a snapshot's averaged weights as EDM-named .safetensors, with a .json that describes the network beside it."""

import argparse
from pathlib import Path

from memo_core.errors import MemosweepError
from memo_core.files import check_output_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--snapshot", required=True, help="checkpoint, .pkl or .safetensors")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.safetensors",
                        help="the weights; FILE.json describes the network")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Read the snapshot, write both files."""
    from memo_core.interop import load_snapshot, save_safetensors  # noqa: PLC0415

    if options.out.suffix != ".safetensors":
        raise MemosweepError(f"--out {options.out}: expected a file ending in .safetensors")
    description = options.out.with_suffix(".json")
    for file in (options.out, description):
        check_output_file(file, "--out")
    snapshot = load_snapshot(options.snapshot)
    save_safetensors(
        options.out,
        snapshot.denoiser.state_dict(),
        snapshot.config,
        snapshot.resolution,
        snapshot.channels,
        snapshot.num_labels,
    )
    print(f"{snapshot.description['num_params']:,} parameters in {options.out}, described in {description}")
