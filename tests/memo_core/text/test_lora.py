"""Adapters by the names of all the programs that write them; those that fit in part or not at all are refused."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from memo_core.errors import MemosweepError
from memo_core.text.drawing import draw_images
from memo_core.text.lora import add_lora
from memo_core.text.pipeline import load_pipeline

Weights = Mapping[str, Tensor]
LAYERS = ["to_q", "to_v", "to_out.0"]


@pytest.fixture(scope="module")
def weights(folder: Path) -> Weights:
    """Adapters of rank 2 by the names of layers, as in a U-Net of diffusers."""
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=LAYERS))
    return {name: value.detach().contiguous() for name, value in get_peft_model_state_dict(unet).items()}


def with_prefix(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {f"{prefix}{name}": value for name, value in weights.items()}


def of_kohya(weights: Weights) -> Weights:
    return dict(convert_state_dict_to_kohya(dict(with_prefix("unet.")(weights))))


def of_old_diffusers(weights: Weights) -> Weights:
    """As `save_attn_procs` wrote them."""
    names = {
        name: name.replace(".to_out.0.", ".processor.to_out_lora.")
        .replace(".to_q.", ".processor.to_q_lora.")
        .replace(".to_v.", ".processor.to_v_lora.")
        .replace("lora_A.", "down.")
        .replace("lora_B.", "up.")
        for name in weights
    }
    return {names[name]: value for name, value in weights.items()}


def drawn(folder: Path, lora: Path | None) -> Tensor:
    return draw_images(str(folder), ("a picture",), [0, 1], lora, steps=2)[0]


def stored(weights: Weights, folder: Path) -> Path:
    file = folder / "adapters.safetensors"
    safetensors.torch.save_file(dict(weights), file)
    return file


@pytest.mark.parametrize(
    "convert",
    [with_prefix(""), with_prefix("base_model.model."), with_prefix("unet.base_model.model."), of_kohya,
     of_old_diffusers],
    ids=["bare", "peft", "peft in unet", "kohya", "old diffusers"],
)  # fmt: skip
def test_names_of_all_kinds_are_loaded(
    convert: Callable[[Weights], Weights], weights: Weights, folder: Path, tmp_path: Path
) -> None:
    expected = drawn(folder, stored(with_prefix("unet.")(weights), tmp_path))
    assert not torch.equal(expected, drawn(folder, None))
    assert torch.equal(drawn(folder, stored(convert(weights), tmp_path)), expected)


def test_the_strength_is_that_of_pefts_configuration(weights: Weights, folder: Path, tmp_path: Path) -> None:
    file = stored(with_prefix("base_model.model.")(weights), tmp_path)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": LAYERS}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    thrice = {name: value * 3 if "lora_B" in name else value for name, value in weights.items()}
    found = drawn(folder, file).int()
    expected = drawn(folder, stored(thrice, tmp_path)).int()
    assert (found - expected).abs().max() <= 1
    assert not torch.equal(expected, drawn(folder, stored(weights, tmp_path)).int())
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(MemosweepError, match=r"adapter_config.json beside it cannot be read"):
        drawn(folder, stored(with_prefix("base_model.model.")(weights), tmp_path))


def without_some(weights: Weights) -> Weights:
    """One second factor is missing."""
    lost = next(name for name in weights if "lora_B" in name)
    return {f"unet.{name}": value for name, value in weights.items() if name != lost}


def with_more(weights: Weights) -> Weights:
    """Layers that this U-Net has not."""
    more = {f"mid_block.attentions.7.to_q.lora_{factor}.weight": torch.ones(2, 2) for factor in "AB"}
    return with_prefix("unet.")({**weights, **more})


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (with_prefix("transformer."), "'transformer.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0."),
        (lambda weights: {}, "holds no tensors"),
        (lambda weights: {"unet.conv_in.lora_A.weight": torch.ones(2, 9, 3, 3)}, "does not fit"),
        (without_some, "does not fit"),
        (with_more, "does not fit"),
        (lambda weights: {**with_prefix("unet.")(weights), "text_encoder.layers.9.lora_A.weight": torch.ones(2, 2)},
         "does not fit"),
        (lambda weights: {"lora_unet_mid_block.dora_scale": torch.ones(2)}, "is a DoRA of kohya's kind"),
    ],
    ids=["transformer", "empty", "one factor", "missing factor", "other layers", "text encoder", "dora"],
)  # fmt: skip
def test_a_file_that_does_not_fit_or_fits_in_part_is_refused(
    convert: Callable[[Weights], Weights], message: str, weights: Weights, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(MemosweepError) as error:
        add_lora(load_pipeline(str(folder)), stored(convert(weights), tmp_path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
