"""Files and folders of other projects: what they are, and what to use instead.

Only names are looked at (of members, dictionary keys, classes, weights); nothing of a file is built or run.
Sources: what the published code of each project writes (EDM, EDM2, StyleGAN2-ADA, StyleGAN3, Stable Diffusion,
diffusers, guided-diffusion, PyTorch Lightning).
"""

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_MAX_BYTES = 2**28
"""Of a pickle inside a zip archive that is searched for names; it may unpack to any size."""

_MAX_NAME = 200

_MAX_PICKLES = 6
"""In one file: PyTorch's old format has five in a row."""

_NOT_READ = "networks of this kind are not read; EDM's DDPM++ and NCSN++ are"
_SAMPLES = "its samples can be compared with `python -m memo_core measure`"


@dataclass(frozen=True)
class _Content:
    names: tuple[str, ...]
    """Patterns, each of which must match a whole name of the file."""
    what: str
    advice: str


_CONTENTS = (
    _Content(
        (r"net", r"optimizer_state"),
        "EDM's training state, which holds the network without the averaging of its weights",
        "use the network-snapshot-*.pkl that was written beside it",
    ),
    _Content(
        (r"net", r"ema", r"optimizer", r"state"), "EDM2's training state", f"{_NOT_READ}; {_SAMPLES}"
    ),
    _Content(
        (r"Precond|MPConv|MPFourier|StandardRGBEncoder|StabilityVAEEncoder|(?:.*\.)?networks_edm2",),
        "an EDM2 pickle",
        f"{_NOT_READ}; {_SAMPLES}",
    ),
    _Content(
        (r"G_ema|SynthesisNetwork|G_synthesis\w*|(?:.*\.)?dnnlib\.tflib(?:\..*)?",),
        "a StyleGAN pickle, whose network is a GAN's generator and no diffusion model",
        _SAMPLES,
    ),
    _Content(
        (r"(?:.*\.)?lora_(?:A|B|up|down|unet|te).*",), "a LoRA adapter, not a whole network", _NOT_READ
    ),
    _Content((r"model\.diffusion_model\..*",), "a Stable Diffusion checkpoint", f"{_NOT_READ}; {_SAMPLES}"),
    _Content((r"(?:unet\.)?(?:down_blocks|mid_block|up_blocks)\..*",), "a network of diffusers",
             f"{_NOT_READ}; {_SAMPLES}"),
    _Content((r"(?:encoder|decoder|first_stage_model)\..*quant_conv.*|(?:post_)?quant_conv\.weight",),
             "the autoencoder of a latent diffusion model", _NOT_READ),
    _Content((r"(?:model\.|module\.)?input_blocks\.0\.0\.weight",), "a guided-diffusion network",
             f"{_NOT_READ}; {_SAMPLES}"),
    _Content((r"pytorch-lightning_version",), "a PyTorch Lightning checkpoint of another project", _NOT_READ),
    _Content((r"(?:model_|net_|ema_)?state_dict",), "a PyTorch checkpoint of another project", _NOT_READ),
    _Content((r"model\.enc\.\d+x\d+_conv\.weight",), "the bare weights of an EDM network, without its settings",
             "use the network-snapshot-*.pkl, or safetensors with a JSON description"),
    _Content((r".*\.(?:weight|bias)",), "PyTorch weights of another project", _NOT_READ),
)  # fmt: skip
"""The first whose patterns all match counts."""


def from_names(names: Collection[str]) -> str | None:
    """Return what a file with these names is and what to do, in words; None where they tell nothing."""
    for content in _CONTENTS:
        if all(any(re.fullmatch(pattern, name) for name in names) for pattern in content.names):
            return f"is {content.what}; {content.advice}"
    return None


def pickle_names(data: bytes) -> set[str]:
    """Return the short texts of a pickle (keys, names of classes and of their modules), up to where it is damaged."""
    names: set[str] = set()
    stream = io.BytesIO(data)
    # Damage further on must not hide what was found before it.
    try:
        for _ in range(_MAX_PICKLES):
            names.update(_names(stream))
    except Exception:
        pass
    return names


def _names(stream: io.BytesIO) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(stream):
        if isinstance(argument, str):
            parts = argument.split(" ", 1) if opcode.name == "GLOBAL" else [argument]
            yield from (part for part in parts if len(part) <= _MAX_NAME)


def in_zip(path: Path) -> str | None:
    """Return what a zip archive that is not a checkpoint of this project is, in words; None where it says nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            pickled = next((name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")), None)
            if pickled is not None and not any(name.split("/")[1:2] == ["code"] for name in members):
                with archive.open(pickled) as file:
                    names = pickle_names(file.read(_MAX_BYTES))
                return None if "experiment" in names else from_names(names)
    # zipfile, zlib and the file system fail in many ways over damaged bytes.
    except Exception:
        return None
    return next((words for pattern, words in _MEMBERS if any(re.fullmatch(pattern, name) for name in members)), None)


_MEMBERS = (
    (r"[^/]+/code/.*", f"is a TorchScript program; {_NOT_READ}"),
    (r"[^/]+\.npy", "is an .npz file, a set of arrays; name a checkpoint, an EDM pickle or safetensors"),
    (r".*\.(?:pkl|pt|pth|ckpt|safetensors)", "is a zip archive; unpack it first, then name the file inside"),
    (
        r"(?i)(?:.*/)?dataset\.json|.*\.(?:png|jpe?g|webp|bmp|gif)",
        "is an image set; name a checkpoint, an EDM pickle or safetensors",
    ),
    (r".*", "is a zip archive; name a checkpoint, an EDM pickle or safetensors"),
)
"""Members of a zip archive that is not a file of PyTorch."""


def in_safetensors(path: Path) -> str | None:
    """Return what safetensors without a description are, in words; None where their names tell nothing."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError, RecursionError, OverflowError, MemoryError):
        return None
    names = set(header) if isinstance(header, dict) else set()
    # EDM's own names lack nothing but the description, which another message asks for.
    return None if any(name.startswith("model.enc.") for name in names) else from_names(names)


_FOLDERS = (
    ("checkpoint.pt", "name the checkpoint in it, {found}"),
    ("checkpoint_*/checkpoint.pt", "name a checkpoint in it, such as {found}"),
    ("*/checkpoint_*/checkpoint.pt", "it holds the trials of a sweep; name a checkpoint, such as {found}"),
    ("network-snapshot-*.pkl", "name a snapshot in it, such as {found}"),
    ("model_index.json", f"it is a pipeline of diffusers; {_NOT_READ}; {_SAMPLES}"),
    ("diffusion_pytorch_model.*", f"it is a network of diffusers; {_NOT_READ}; {_SAMPLES}"),
    ("data.pkl", "it is an unpacked PyTorch file; name the file itself"),
    ("*.safetensors", "name the safetensors in it, such as {found}"),
    ("*.pkl", "name a snapshot in it, such as {found}"),
)
"""Patterns inside a folder, and what to do; the first that is found counts, of several files the last."""


def in_folder(folder: Path) -> str:
    """Return what to do instead of naming a folder as a snapshot, in words."""
    for pattern, advice in _FOLDERS:
        # Patterns are ours; the folder's own name is never read as one.
        found = max(folder.glob(pattern), default=None)
        if found is not None:
            return f"is a folder; {advice.format(found=found)}"
    return "is a folder; name a checkpoint, an EDM pickle or safetensors"


def snapshot_beside(path: Path) -> Path | None:
    """Return EDM's network snapshot of the same moment as a `training-state-*.pt`, or the last; None without any."""
    moment = re.fullmatch(r"training-state-(\d+)\.pt", path.name)
    if moment is None:
        return None
    same = path.with_name(f"network-snapshot-{moment[1]}.pkl")
    return same if same.is_file() else max(path.parent.glob("network-snapshot-*.pkl"), default=None)
