"""What a fine-tuning has trained, for diffusers: adapters as a LoRA file, a whole U-Net as a pipeline folder."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from memo_core.errors import MemosweepError, OtherTrainingError
from memo_core.experiment import Experiment
from memo_core.files import write_atomically, write_errors
from memo_core.text.pipeline import INDEX, PARTS, find_pipeline, load_pipeline

_NO_CHECKER: Mapping[str, Any] = {
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
}


def export_fine_tuning(content: Mapping[str, Any], out: Path) -> str:
    """Write the averaged weights of a checkpoint for diffusers.

    Args:
        content: of a checkpoint of a pipeline (`read_checkpoint`).
        out: of adapters a file that `load_lora_weights` reads, ending in `.safetensors`; else a folder, which must not
            be there yet, that `from_pretrained` and `text.pipeline` take.

    Returns:
        What was written, in words.

    Raises:
        MemosweepError: the ending is of the other kind, the place cannot be written, or the pipeline that was
            fine-tuned is gone or another one.
    """
    experiment = Experiment.from_flat(content["experiment"])
    text, averages = experiment.text, content["ema"]
    if (text.method == "lora") != (out.suffix == ".safetensors"):
        expected = "a file ending in .safetensors" if text.method == "lora" else "a folder, for a whole pipeline"
        raise MemosweepError(f"--out {out}: text.method = {text.method}, expected {expected}")
    if text.method == "lora":
        write_atomically(out, safetensors.torch.save(lora_weights(averages), {"format": "pt"}))
        return f"a LoRA of rank {text.lora_rank} for {text.pipeline} in {out}"
    if out.exists():
        raise MemosweepError(f"--out {out}: is there already, name another folder")
    _write_pipeline(experiment, content, out)
    return f"the fine-tuned {text.pipeline} in {out}"


def lora_weights(averages: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return adapters by the names that `load_lora_weights` knows; alpha is the rank where none is stored."""
    # peft puts the name of the adapter between `lora_A` and `weight`.
    return {f"unet.{name.replace('.default.', '.')}": value.to("cpu").contiguous() for name, value in averages.items()}


def _write_pipeline(experiment: Experiment, content: Mapping[str, Any], out: Path) -> None:
    text = experiment.text
    parts = load_pipeline(text.pipeline, text.revision)
    if parts.sha256 != content["pipeline_sha256"]:
        raise OtherTrainingError(
            f"text.pipeline = {text.pipeline}: is another pipeline than the one that was fine-tuned (SHA-256 "
            f"{content['pipeline_sha256'][:12]}..., now {parts.sha256[:12]}...): put the former back"
        )
    parts.unet.load_state_dict(content["ema"], strict=False)
    source = find_pipeline(text.pipeline, text.revision)
    unfinished = out.with_name(f".{out.name}.part")
    with write_errors(out, 0):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        # All but the U-Net as it is, its own scheduler too. The safety checker is not among the parts.
        index = json.loads((source / INDEX).read_text(encoding="utf-8"))
        (unfinished / INDEX).write_text(json.dumps({**index, **_NO_CHECKER}, indent=2) + "\n", encoding="utf-8")
        for part in PARTS:
            if part != "unet":
                shutil.copytree(source / part, unfinished / part)
        parts.unet.save_pretrained(unfinished / "unet", safe_serialization=True)
        unfinished.rename(out)
