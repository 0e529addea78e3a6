"""What a fine-tuning trained, exported and read back by diffusers."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from memo_core.commands import main
from memo_core.experiment import Experiment
from memo_core.text.drawing import draw_images
from memo_core.training import Trainer
from memo_core.training.learner import Learner
from memo_core.training.saving.checkpoint import save_checkpoint

SEEDS = range(4)


def trained(experiment: Experiment, folder: Path) -> Learner:
    """Train to the end, and leave a checkpoint."""
    trainer = Trainer(experiment, "cpu")
    for _ in trainer.evaluations():
        pass
    save_checkpoint(trainer, folder)
    return trainer._learner


def weights_in_diffusers(folder: Path, out: Path) -> dict[str, torch.Tensor]:
    """Read an export by diffusers alone; returns the U-Net's weights by the names of a training."""
    if out.is_dir():
        return dict(StableDiffusionPipeline.from_pretrained(out).unet.named_parameters())
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.load_lora_weights(out.parent, weight_name=out.name)
    assert pipeline.unet.peft_config["default_0"].lora_alpha == 48
    return {name.replace(".default_0.", ".default."): value for name, value in pipeline.unet.named_parameters()}


def test_an_export_draws_the_images_of_its_training(
    experiment: Experiment, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner = trained(experiment, tmp_path)
    lora = experiment.text.method == "lora"
    out = tmp_path / ("adapters.safetensors" if lora else "model-v1.5")
    assert main(["export", "--snapshot", str(tmp_path / "checkpoint.pt"), "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    prompts = [str(prompt) for prompt in learner.conditions(SEEDS)["prompts"]]
    settings = {"steps": 3, "guidance_scale": 2.0}
    pipeline, adapters = (folder, out) if lora else (out, None)
    images, _ = draw_images(str(pipeline), prompts, SEEDS, adapters, **settings)
    expected = learner.sampler()(SEEDS)
    # A training on gray images averages the three channels, before they are cut to 0..255.
    whole = ((images > 0) & (images < 255)).all(dim=1, keepdim=True)
    assert whole.float().mean() > 0.5
    assert (images.float().mean(dim=1, keepdim=True) - expected.float())[whole].abs().max() <= 1
    plain, _ = draw_images(str(folder), prompts, SEEDS, **settings)
    assert not torch.equal(plain, images)
    averages = learner.state_dict()["ema"]
    found = weights_in_diffusers(folder, out)
    assert set(averages) <= set(found)
    assert all(torch.equal(found[name], value) for name, value in averages.items())


def test_an_export_of_another_kind_or_over_something_is_refused(
    experiment: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(Trainer(experiment, "cpu"), tmp_path)
    (tmp_path / "there").mkdir()
    wrong = "model" if experiment.text.method == "lora" else "model.safetensors"
    expected = "a file ending in .safetensors" if experiment.text.method == "lora" else "a folder, for a whole pipeline"
    for name, message in ((wrong, f"expected {expected}"), ("there", "is a folder"), ("a.pkl", ".safetensors")):
        command = ["export", "--snapshot", str(tmp_path / "checkpoint.pt"), "--out", str(tmp_path / name)]
        assert main(command) == 2
        assert message in capsys.readouterr().err
    sample = ["sample", "--snapshot", str(tmp_path / "checkpoint.pt"), "--out", str(tmp_path / "a.npz")]
    assert main(sample) == 2
    assert "`python -m memo_core export` makes a pipeline or a LoRA of it" in capsys.readouterr().err
