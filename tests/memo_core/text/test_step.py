"""A step against a loop that is written from the parts of diffusers and peft alone, as in their published scripts."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from peft import LoraConfig
from transformers import CLIPTextModel, CLIPTokenizer

from memo_core.data import TrainingSet
from memo_core.experiment import Experiment
from memo_core.randomness import named_seed
from memo_core.text.learner import PipelineLearner
from memo_core.text.step import cosine_learning_rate, ema_decay_of_step

STEPS = 3
INDICES = [[0, 1, 2, 3, 4, 5], [6, 7, 0, 1, 2, 3], [5, 4, 7, 6, 1, 0]]
PROMPTS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class PublishedLoop:
    """train_text_to_image.py and train_text_to_image_lora.py, without their data loading and their accelerator."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        settings, text = experiment.training, experiment.text
        self.settings, self.text, self.experiment = settings, text, experiment
        self.vae = AutoencoderKL.from_pretrained(folder, subfolder="vae")
        self.encoder = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder")
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
        self.schedule = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
        self.unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").train()
        if text.lora_rank is not None:
            self.unet.requires_grad_(False)
            torch.manual_seed(named_seed(experiment.seed, "initialization"))
            self.unet.add_adapter(
                LoraConfig(
                    r=text.lora_rank,
                    lora_alpha=text.lora_rank,
                    init_lora_weights="gaussian",
                    target_modules=["to_k", "to_q", "to_v", "to_out.0"],
                )
            )
        self.parameters = [value for value in self.unet.parameters() if value.requires_grad]
        self.start = [value.detach().clone() for value in self.parameters]
        self.ema = EMAModel(self.parameters, decay=settings.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.999), eps=1e-8
        )
        total = experiment.total_images // experiment.images_per_step
        self.rates = get_scheduler(
            "cosine", self.optimizer, num_warmup_steps=text.warmup_steps, num_training_steps=total
        )

    def step(self, data: TrainingSet, indices: list[int], generator: torch.Generator) -> float:
        """Return the mean loss of the accumulated batches."""
        shape = (len(indices), 4, 4, 4)
        draws = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
        timesteps = torch.randint(self.schedule.config.num_train_timesteps, (len(indices),), generator=generator)
        size, losses = self.settings.batch_size, []
        for start in range(0, len(indices), size):
            part = slice(start, start + size)
            pixels = data.images[indices[part]].float().expand(-1, 3, -1, -1) / 127.5 - 1
            names = [PROMPTS[data.classes[index]] for index in indices[part]]
            tokens = self.tokenizer(
                [f"a picture of {name}" for name in names],
                max_length=self.tokenizer.model_max_length, padding="max_length", truncation=True, return_tensors="pt",
            ).input_ids  # fmt: skip
            with torch.no_grad():
                posterior = self.vae.encode(pixels).latent_dist
                context = self.encoder(tokens, return_dict=False)[0]
            latents = (posterior.mean + posterior.std * draws[0][part]) * self.vae.config.scaling_factor
            noise, steps = draws[1][part], timesteps[part]
            noisy = self.schedule.add_noise(latents, noise, steps)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
                predicted = self.unet(noisy, steps, context, return_dict=False)[0]
            if self.schedule.config.prediction_type == "v_prediction":
                target = self.schedule.get_velocity(latents, noise, steps)
            else:
                target = noise
            loss = F.mse_loss(predicted.float(), target.float(), reduction="mean")
            (loss / self.text.accumulation_steps).backward()
            losses.append(float(loss.detach()))
        torch.nn.utils.clip_grad_norm_(self.parameters, self.text.max_gradient_norm)
        self.gradients = [value.grad.clone() for value in self.parameters]
        self.optimizer.step()
        self.rates.step()
        self.optimizer.zero_grad()
        self.ema.step(self.parameters)
        return sum(losses) / len(losses)


def flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Return tensors as one vector."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def test_steps_equal_those_of_the_published_loop(experiment: Experiment, folder: Path, digits: TrainingSet) -> None:
    published = PublishedLoop(experiment, folder)
    learner = PipelineLearner(experiment, digits, torch.device("cpu"))
    torch.testing.assert_close(learner.state.parameters.values, flat(published.start), rtol=0, atol=0)
    mine, theirs = (torch.Generator().manual_seed(5) for _ in range(2))
    for number, indices in enumerate(INDICES):
        seen = number * experiment.images_per_step
        loss, rate = learner.step(torch.tensor(indices), seen, mine)
        before = published.rates.get_last_lr()[0]
        assert rate == pytest.approx(before, rel=1e-12)
        assert float(loss) == pytest.approx(published.step(digits, indices, theirs), rel=1e-5)
        gradients = learner.state.parameters.gradients
        assert gradients is not None
        expected = flat(published.gradients)
        # The first step has a rate of 0: the second one starts from equal parameters, too. Adam divides each gradient
        # by its own size, rounding noise of tiny ones included, which shows from the third step on.
        assert (gradients - expected).norm() < (1e-5 if number < 2 else 1e-3) * expected.norm()
    after, start = flat(published.parameters), flat(published.start)
    moved = (after - start).norm()
    assert moved > 1e-3 * start.norm()
    assert (learner.state.parameters.values - after).norm() < 1e-5 * after.norm()
    average = flat(published.ema.shadow_params)
    assert (learner.state.ema_parameters.values - average).norm() < 1e-5 * average.norm()
    assert (learner.state.parameters.values - after).norm() < 1e-3 * moved
    assert (average - after).norm() > 1e-2 * moved


def first_step(experiment: Experiment, data: TrainingSet) -> tuple[float, torch.Tensor, PipelineLearner]:
    """Return loss and gradient of the first step."""
    learner = PipelineLearner(experiment, data, torch.device("cpu"))
    loss, _ = learner.step(torch.tensor(INDICES[0]), 0, torch.Generator().manual_seed(5))
    gradients = learner.state.parameters.gradients
    assert gradients is not None
    return float(loss), gradients.clone(), learner


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_velocity_and_bfloat16_are_those_of_the_published_loop(
    precision: str, settings: Mapping[str, Any], folder: Path, digits: TrainingSet, tmp_path: Path
) -> None:
    velocity = Path(shutil.copytree(folder, tmp_path / "velocity"))
    config = velocity / "scheduler/scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prediction_type": "v_prediction"}))
    changes = {"text.pipeline": str(velocity), "training.precision": precision}
    experiment = Experiment.from_flat({**settings, **changes})
    loss, gradients, learner = first_step(experiment, digits)
    published = PublishedLoop(experiment, velocity)
    expected = published.step(digits, INDICES[0], torch.Generator().manual_seed(5))
    tolerance = 1e-5 if precision == "float32" else 2e-2
    assert loss == pytest.approx(expected, rel=tolerance)
    other = flat(published.gradients)
    assert (gradients - other).norm() < tolerance * other.norm()
    # What it learns is neither the noise nor, in bfloat16, what float32 gives.
    noise, _, _ = first_step(Experiment.from_flat({**settings, "training.precision": precision}), digits)
    assert abs(noise - loss) > 1e-3 * loss
    if precision == "bfloat16":
        full, _, _ = first_step(Experiment.from_flat({**settings, "text.pipeline": str(velocity)}), digits)
        assert 1e-7 * full < abs(loss - full) < 2e-2 * full
    # Weights, optimizer and average stay float32.
    assert {value.dtype for value in learner.state.weights().values()} == {torch.float32}


def test_gradient_checkpointing_computes_the_same_gradients(experiment: Experiment, digits: TrainingSet) -> None:
    loss, gradients, _ = first_step(experiment, digits)
    checkpointed = Experiment.from_flat({**experiment.to_flat(), "text.gradient_checkpointing": True})
    again, others, learner = first_step(checkpointed, digits)
    assert learner._parts.unet.is_gradient_checkpointing
    assert again == pytest.approx(loss, rel=1e-6)
    assert (gradients - others).norm() <= 1e-5 * gradients.norm()


@pytest.mark.parametrize(("warmup", "total"), [(0, 7), (3, 10), (500, 6250)])
def test_the_learning_rate_is_that_of_diffusers(warmup: int, total: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
    rates = get_scheduler("cosine", optimizer, num_warmup_steps=warmup, num_training_steps=total)
    for step in range(0, min(total, 12)):
        assert cosine_learning_rate(step, 2e-4, warmup, total) == pytest.approx(rates.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        rates.step()


def test_the_average_follows_the_decay_of_diffusers() -> None:
    ema = EMAModel([torch.nn.Parameter(torch.zeros(1))], decay=0.5)
    for step in range(20):
        assert ema_decay_of_step(step, 0.5) == pytest.approx(ema.get_decay(step + 1))
