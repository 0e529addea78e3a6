"""Whether every way to run a training step on a GPU gives the published numbers, twice the same ones."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from memo_core.experiment import Experiment, ModelConfig
from memo_core.experiment.presets import PRESETS, with_settings
from memo_core.model import build_denoiser
from memo_core.model.precision import gpu_arithmetic
from memo_core.training import Trainer
from memo_core.training.steps.captured import choose_step
from memo_core.training.steps.step import TrainedParameters, TrainingState

_PATHS = [("float32", "none"), ("float32", "graph"), ("tf32", "graph"), ("bfloat16", "graph")]
_COMPILED = [("float32", "full"), ("bfloat16", "full")]
_COMPILED_NAME = "ddpmpp_edm_cond_8"
_RESUMED = [("float32", "none"), ("float32", "graph"), ("float32", "full"), ("bfloat16", "full")]


def golden_agreement(folder: Path, device: torch.device) -> dict[str, dict[str, float]]:
    """How far each path ends from the published parameters and averages, relative to the distance moved.

    Also the largest relative error of the twelve losses.
    """
    found = {}
    for name in ("ddpmpp_edm_cond_8", "ddpmpp_vp_16", "ncsnpp_ve_8"):
        for precision, mode in _PATHS + (_COMPILED if name == _COMPILED_NAME else []):
            label = f"{name} {precision} {mode}"
            try:
                with gpu_arithmetic(precision, device):
                    found[label] = _golden(folder, name, precision, mode, device)
            except Exception as error:
                print(f"  {label}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    return found


def _golden(folder: Path, name: str, precision: str, mode: str, device: torch.device) -> dict[str, float]:
    description = json.loads((folder / f"{name}.json").read_text())
    settings = {key: value for key, value in description.items() if key in ModelConfig.model_fields}
    config = ModelConfig(**settings, dropout=0)
    sizes = description["resolution"], description["channels"], description["num_labels"]
    denoiser, ema = (build_denoiser(config, *sizes, device=device, precision=precision) for _ in range(2))
    start = load_file(folder / f"{name}.safetensors", device=str(device))
    denoiser.load_state_dict(start)
    with np.load(folder / f"{name}_training.npz") as arrays:
        run = {key: torch.from_numpy(np.asarray(value)).to(device) for key, value in arrays.items()}
    state = TrainingState.create(denoiser.train(), ema, float(run["weight_decay"]))
    step, losses = choose_step(mode, device), []
    for number, indices in enumerate(run["indices"].long()):
        labels = run["labels"][indices] if description["num_labels"] else None
        rates = float(run["learning_rate"][number]), float(run["ema_decay"][number])
        losses.append(step(state, run["images"][indices], labels, run["sigma"][number], run["noise"][number], *rates))
    expected = load_file(folder / f"{name}_training.safetensors", device=str(device))
    error = (torch.stack(losses) / run["loss"].flatten() - 1).abs().max()
    found = {"largest_loss_error": float(error)}
    for kind, network in (("trained", state.denoiser), ("ema", state.ema)):
        values = network.state_dict()
        names = [key for key in values if f"{kind}.{key}" in expected]
        off = _distance([expected[f"{kind}.{key}"] for key in names], [values[key] for key in names])
        found[f"{kind}_off"] = off / _distance([start[key] for key in names], [values[key] for key in names])
    return found


def _distance(some: list[Tensor], others: list[Tensor]) -> float:
    return float(sum((a.double() - b).square().sum() for a, b in zip(some, others, strict=True)) ** 0.5)


def resume_agreement(device: torch.device) -> dict[str, dict[str, bool]]:
    """Whether two runs, and one that was resumed half way, end with the same bits; the laptop network with dropout."""
    found = {}
    for precision, mode in _RESUMED:
        settings = {
            "training.images": 6400, "training.batch_size": 64, "training.precision": precision,
            "training.compile": mode, "training.order": "reshuffled", "model.dropout": 0.13, "data.size": 256,
            "evaluation.count": 2, "evaluation.num_samples": 16, "evaluation.steps": 2, "model.preconditioning": "vp",
            "model.width": 16, "model.depth": 1,
        }  # fmt: skip
        experiment = Experiment.from_flat(with_settings(PRESETS["laptop"], settings))
        first, second, resumed = (Trainer(experiment, device) for _ in range(3))
        half: dict[str, Any] = {}
        for _ in first.evaluations():
            half = half or _as_checkpoint(first.state_dict())
        for _ in second.evaluations():
            pass
        resumed.load_state_dict(half)
        for _ in resumed.evaluations():
            pass
        values = first.state.parameters.values, first.state.ema_parameters.values
        found[f"{precision} {mode}"] = {
            "same_twice": _equal(values, second.state),
            "same_resumed": _equal(values, resumed.state),
        }
    return found


def _as_checkpoint(content: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)  # type: ignore[no-any-return]


def _equal(values: tuple[Tensor, Tensor], state: TrainedParameters) -> bool:
    return torch.equal(values[0], state.parameters.values) and torch.equal(values[1], state.ema_parameters.values)
