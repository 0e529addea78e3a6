"""Images of pipelines, against diffusers' own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from memo_core.commands import main
from memo_core.sampling import ImageStreams
from memo_core.text.drawing import draw_images, read_prompts

PROMPTS = ("a picture of one", "a picture of two", "a picture")


def test_images_are_those_of_diffusers(folder: Path) -> None:
    seeds = [4, 5, 7]
    images, which = draw_images(str(folder), PROMPTS, seeds, steps=4, guidance_scale=3.0, batch_size=2)
    assert which.tolist() == [1, 2, 1]
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        [PROMPTS[index] for index in which.tolist()],
        latents=ImageStreams(seeds).normal((4, 4, 4)),
        num_inference_steps=4,
        guidance_scale=3.0,
        height=8,
        width=8,
        output_type="np",
    ).images
    found = images.permute(0, 2, 3, 1).numpy().astype(int)
    assert np.abs(found - (expected * 255).round().astype(int)).max() <= 1


def test_samples_of_the_command_line_are_an_image_set_with_prompts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("a picture of one\n\na picture of two\n")
    out = tmp_path / "samples.npz"
    options = ["sample", "--pipeline", str(folder), "--prompts", str(tmp_path / "prompts.txt"), "--steps", "2"]
    assert main([*options, "--seeds", "0-3", "--out", str(out)]) == 0
    with np.load(out) as stored:
        assert stored["images"].shape == (4, 3, 8, 8)
        assert stored["labels"].tolist() == [0, 1, 0, 1]
        assert stored["prompts"].tolist() == ["a picture of one", "a picture of two"]
    assert main(["measure", "--training", "digits", "--generated", str(out)]) == 0
    text = capsys.readouterr().out
    assert "of 4 samples against 1,797 training images" in text
    assert "\n  a picture of two " in text


def test_a_file_that_is_no_lora_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.safetensors").write_bytes(b"no weights")
    (tmp_path / "prompts.txt").write_text("a picture\n")
    options = ["sample", "--pipeline", str(folder), "--prompts", str(tmp_path / "prompts.txt"), "--out", "x.npz"]
    assert main([*options, "--lora", str(tmp_path / "b.safetensors")]) == 2
    assert "b.safetensors: does not fit" in capsys.readouterr().err


def test_images_are_of_the_size_of_a_pipeline_of_an_old_version_too(folder: Path, tmp_path: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    weights = {f"unet.{name}": value.detach().clone() for name, value in get_peft_model_state_dict(unet).items()}
    safetensors.torch.save_file(weights, tmp_path / "lora.safetensors")
    config = Path(shutil.copytree(folder, tmp_path / "old")) / "unet/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_diffusers_version": "0.8.0"}))
    images, _ = draw_images(str(tmp_path / "old"), PROMPTS, [0], tmp_path / "lora.safetensors", steps=2)
    assert images.shape == (1, 3, 8, 8)


def test_prompts_end_at_the_end_of_a_line_alone(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes("a cat\u2028asleep\r\n\r\na dog".encode())
    assert read_prompts(tmp_path / "prompts.txt") == ("a cat\u2028asleep", "a dog")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--snapshot", "x.pt", "--prompts", "x.txt"], "--prompts goes with --pipeline, not with --snapshot"),
        (["--pipeline", "x"], "--prompts is missing: a file with one prompt a line, for --pipeline"),
        (["--pipeline", "x", "--prompts", "/nowhere"], "--prompts /nowhere: cannot be read"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["sample", *options, "--out", str(tmp_path / "out.npz")]) == 2
    assert message in capsys.readouterr().err
