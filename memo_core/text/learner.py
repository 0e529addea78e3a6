"""The U-Net of a pipeline in training, all of it or adapters: what `memo_core.training.Learner` asks for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from peft import LoraConfig
from torch import Tensor

from memo_core.data.training_set import TrainingSet
from memo_core.errors import MemosweepError, OtherTrainingError
from memo_core.evaluation import Array, Sampler
from memo_core.experiment import Experiment
from memo_core.measure.pairs import short_names
from memo_core.model.precision import gpu_arithmetic
from memo_core.randomness import named_seed
from memo_core.text.checks import check_fine_tuning
from memo_core.text.latents import encode
from memo_core.text.pipeline import Pipeline, load_pipeline
from memo_core.text.prompts import embed, prompts_of
from memo_core.text.sampler import PipelineSampler, prompt_index
from memo_core.text.step import (
    FineTuned,
    LatentBatch,
    cosine_learning_rate,
    ema_decay_of_step,
    fine_tuning_step,
)
from memo_core.training.saving.record import NotContinuedError
from memo_core.training.steps.mode import StepMode

ADAPTED = ("to_q", "to_k", "to_v", "to_out.0")
"""The layers of the U-Net's attention that have adapters."""


class PipelineLearner:
    """Fine-tunes the U-Net of a pipeline; VAE and text encoder stay as they are.

    Args:
        experiment: whose `model.architecture` is `pipeline`.
        data: on the device.
        device: where it is trained.
        pipeline: already read; read as the experiment says by default. Its U-Net is changed.

    Raises:
        MemosweepError: the pipeline cannot be read, or it or the prompts do not fit the data.
    """

    values_per_image = 1
    """The loss is a mean over all values of the latents."""
    memory_advice = (
        "lower training.batch_size and raise text.accumulation_steps by as much, set text.gradient_checkpointing = "
        "true or training.precision = bfloat16, or take a device with more memory"
    )

    def __init__(
        self, experiment: Experiment, data: TrainingSet, device: torch.device, pipeline: Pipeline | None = None
    ) -> None:
        self._experiment, self._data, self._device = experiment, data, device
        text = experiment.text
        check_fine_tuning(experiment, data)
        parts = pipeline or load_pipeline(text.pipeline, text.revision)
        self._prompts = prompts_of(experiment, data)
        self._parts = parts.to(device)
        with gpu_arithmetic(experiment.training.precision, device):
            self._moments = encode(parts.vae, data.images)
            self._embedded = embed(self._prompts.distinct, parts.tokenizer, parts.text_encoder)
        self._prompt_of = torch.tensor(self._prompts.of_image, device=device)
        prepare_unet(parts.unet, text.lora_rank, experiment.seed)
        if text.gradient_checkpointing:
            parts.unet.enable_gradient_checkpointing()
        self.state = FineTuned(parts.unet.train(), experiment.training.weight_decay)
        self._sampler: PipelineSampler | None = None
        self.mode: StepMode | None = StepMode(experiment.training.precision, "none", device.type)

    def use(self, mode: StepMode) -> None:
        """Refuse: a pipeline has one mode."""
        raise RuntimeError("a pipeline computes as its experiment says")

    def draw_batches(self, indices: Int64[Tensor, " n"], generator: torch.Generator) -> list[LatentBatch]:
        """Return the batches of one step: latents, noise and timesteps are drawn, in this order.

        Args:
            indices: of the images in the training set.
            generator: on the device.
        """
        shape = (len(indices), *self._moments.mean.shape[1:])
        latents = self._moments.draw(indices, torch.randn(shape, generator=generator, device=self._device))
        noise = torch.randn(shape, generator=generator, device=self._device)
        steps = int(self._parts.noise_schedule.config.num_train_timesteps)
        timesteps = torch.randint(steps, (len(indices),), generator=generator, device=self._device)
        context = self._embedded[self._prompt_of[indices]]
        size = self._experiment.training.batch_size
        pieces = (torch.split(tensor, size) for tensor in (latents, noise, timesteps, context))
        return [LatentBatch(*piece) for piece in zip(*pieces, strict=True)]

    def step(self, indices: Int64[Tensor, " n"], images_seen: int, noise: torch.Generator) -> tuple[Tensor, float]:
        """Take one step of AdamW; see `Learner.step`."""
        experiment = self._experiment
        settings, text, size = experiment.training, experiment.text, experiment.images_per_step
        step, total = images_seen // size, -(-experiment.total_images // size)
        learning_rate = cosine_learning_rate(step, settings.learning_rate, text.warmup_steps, total)
        loss = fine_tuning_step(
            self._parts.unet,
            self.state,
            self.draw_batches(indices, noise),
            self._parts.noise_schedule,
            learning_rate,
            ema_decay_of_step(step, settings.ema_decay),
            text.max_gradient_norm,
            autocast=settings.precision == "bfloat16",
        )
        return loss, learning_rate

    def sampler(self) -> Sampler:
        """Return what draws images of the averaged U-Net, for the distinct prompts in turns."""
        if self._sampler is None:
            channels, resolution, _ = self._data.image_shape
            evaluation = self._experiment.evaluation
            self._sampler = PipelineSampler(
                self._parts,
                self._prompts.distinct,
                resolution,
                channels,
                evaluation.steps,
                self._experiment.text.guidance_scale,
                evaluation.batch_size,
                self._experiment.training.precision,
            )
        return self._sample

    def _sample(
        self, seeds: Sequence[int], on_batch: Callable[[int], None] | None = None, /
    ) -> UInt8[Tensor, "n c h w"]:
        assert self._sampler is not None
        self._parts.unet.eval()
        try:
            with self.state.averaged():
                return self._sampler(seeds, on_batch)
        finally:
            self._parts.unet.train()

    def conditions(self, seeds: Sequence[int]) -> dict[str, Array]:
        """Return the distinct prompts, which of them each sample has, and the names of the training images."""
        prompts = self._prompts.distinct
        return {
            "prompts": np.array(prompts),
            "prompt_index": np.array([prompt_index(seed, len(prompts)) for seed in seeds], dtype=np.int32),
            "training_names": np.array(short_names(self._data.names)),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what is trained, its average and AdamW's moments, and what the rest is known by."""
        channels, resolution, _ = self._data.image_shape
        return {
            "resolution": resolution,
            "channels": channels,
            "num_labels": 0,
            "model": self.state.weights(),
            "ema": self.state.averages(),
            "optimizer": self.state.optimizer.state_dict(),
            "pipeline_sha256": self._parts.sha256,
            "prompts_sha256": self._prompts.sha256,
        }

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Continue from there.

        Raises:
            OtherTrainingError: another pipeline or other prompts; nothing was changed.
            NotContinuedError: another budget, which the learning rate follows; likewise.
        """
        mine = {"pipeline_sha256": self._parts.sha256, "prompts_sha256": self._prompts.sha256}
        for key, what in (("pipeline_sha256", "another pipeline"), ("prompts_sha256", "other prompts")):
            if content[key] != mine[key]:
                raise OtherTrainingError(
                    f"the checkpoint was trained with {what} than are there now (SHA-256 {content[key][:12]}..., now "
                    f"{mine[key][:12]}...): put the former back, or start anew"
                )
        before = Experiment.from_flat(content["experiment"]).total_images
        if before != self._experiment.total_images:
            raise NotContinuedError(
                f"its learning rate falls along a cosine over {before:,} images seen, not "
                f"{self._experiment.total_images:,}"
            )
        self.state.load(content["model"], content["ema"])
        self.state.optimizer.load_state_dict(content["optimizer"])


def prepare_unet(unet: Any, lora_rank: int | None, seed: int) -> None:
    """Let all of a U-Net learn, or adapters that are added to its attention.

    Args:
        unet: a `UNet2DConditionModel`, frozen.
        lora_rank: of the adapters, alpha as well; None trains all of it.
        seed: of the experiment; the adapters are initialized from it.

    Raises:
        MemosweepError: no memory for adapters of that rank.
    """
    if lora_rank is None:
        unet.requires_grad_(True)
        return
    config = LoraConfig(r=lora_rank, lora_alpha=lora_rank, init_lora_weights="gaussian", target_modules=list(ADAPTED))
    # Adapters are drawn from the default generator, on the CPU, so that they are the same on every device.
    device = unet.device
    unet.cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(named_seed(seed, "initialization"))
        try:
            unet.add_adapter(config)
        except (RuntimeError, MemoryError) as error:
            raise MemosweepError(f"text.lora_rank = {lora_rank}: the adapters cannot be made ({error})") from None
    unet.to(device)
