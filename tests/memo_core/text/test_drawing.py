"""Images of pipelines, against diffusers' own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from memo_core.commands import main
from memo_core.sampling import ImageStreams
from memo_core.text.drawing import draw_images

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


def test_a_lora_changes_the_images_and_one_that_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    torch.manual_seed(0)
    pipeline.unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    StableDiffusionPipeline.save_lora_weights(
        tmp_path, get_peft_model_state_dict(pipeline.unet), weight_name="a.safetensors"
    )
    plain, adapted = (
        draw_images(str(folder), PROMPTS, [0], lora, steps=2)[0] for lora in (None, tmp_path / "a.safetensors")
    )
    assert not torch.equal(plain, adapted)
    (tmp_path / "b.safetensors").write_bytes(b"no weights")
    (tmp_path / "prompts.txt").write_text("a picture\n")
    options = ["sample", "--pipeline", str(folder), "--prompts", str(tmp_path / "prompts.txt"), "--out", "x.npz"]
    assert main([*options, "--lora", str(tmp_path / "b.safetensors")]) == 2
    assert "b.safetensors: does not fit" in capsys.readouterr().err


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
