"""Write a snapshot's averaged weights for other programs: EDM-named .safetensors; of fine-tuned pipelines diffusers'.

Beside EDM-named .safetensors a .json describes the network. Of a fine-tuned pipeline, adapters become a LoRA file for
`load_lora_weights`, and a whole U-Net a pipeline folder for `from_pretrained`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from memo_core.errors import MemosweepError
from memo_core.files import check_output_file

if TYPE_CHECKING:
    from memo_core.interop import Snapshot

_OTHER_FILES = (".bin", ".ckpt", ".json", ".npz", ".pkl", ".pt", ".pth", ".zip")
"""Endings that no folder has."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--snapshot", required=True, help="checkpoint, .pkl or .safetensors")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.safetensors|FOLDER",
                        help="the weights; FILE.json describes the network; of a fully fine-tuned pipeline a new "
                             "folder")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Read the snapshot, write the files."""
    from memo_core.interop import FineTunedError, load_snapshot  # noqa: PLC0415

    if options.out.suffix in _OTHER_FILES:
        raise MemosweepError(f"--out {options.out}: expected a file ending in .safetensors")
    check_output_file(options.out, "--out")
    if options.out.suffix == ".safetensors":
        check_output_file(options.out.with_suffix(".json"), "--out")
    try:
        snapshot = load_snapshot(options.snapshot)
    except FineTunedError as error:
        from memo_core.text.export import export_fine_tuning  # noqa: PLC0415 - diffusers, which is an extra

        print(export_fine_tuning(error.content, options.out))
        return
    _write(snapshot, options.out)


def _write(snapshot: "Snapshot", out: Path) -> None:
    from memo_core.interop import save_safetensors  # noqa: PLC0415

    if out.suffix != ".safetensors":
        raise MemosweepError(f"--out {out}: expected a file ending in .safetensors")
    save_safetensors(
        out,
        snapshot.denoiser.state_dict(),
        snapshot.config,
        snapshot.resolution,
        snapshot.channels,
        snapshot.num_labels,
    )
    print(f"{snapshot.description['num_params']:,} parameters in {out}, described in {out.with_suffix('.json')}")
