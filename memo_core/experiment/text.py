"""The section of fine-tuned text-to-image pipelines: paper section 6 (Table 3) and Appendix G."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from memo_core.experiment.sections import MAX_IMAGES, ModelConfig, Positive, Precision, Section

if TYPE_CHECKING:
    from memo_core.experiment.experiment import Experiment

TINY_PIPELINE = "tiny"
"""The embedded pipeline, which is assembled and trained where it is first needed."""


class TextConfig(Section):
    """What a pipeline is fine-tuned with, where `model.architecture` is `pipeline`."""

    pipeline: Annotated[str, Field(min_length=1)] = TINY_PIPELINE
    """`tiny`, the folder of a diffusers pipeline, or its name on the Hugging Face hub."""
    revision: str | None = None
    """Branch, tag or commit of a pipeline on the hub."""
    method: Literal["full", "lora"] = "full"
    """Train all of the U-Net, or low-rank adapters of its attention layers."""
    lora_rank: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Rank of the adapters, which may exceed the width of a layer; their alpha equals it. None for `full`."""
    prompt: Literal["plain", "class", "captions"] = "plain"
    """`a picture` for all images, `a picture of {class}`, or the caption of each image."""
    captions: str | None = None
    """A CSV or JSONL file of file names and captions, for `prompt` = `captions`."""
    accumulation_steps: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Batches of `training.batch_size` images whose gradients are averaged for one step of the optimizer."""
    warmup_steps: Annotated[int, Field(ge=0, le=MAX_IMAGES)] = 500
    """Steps of the optimizer over which the learning rate rises, before it falls along a cosine to 0."""
    max_gradient_norm: Positive = 1.0
    """Gradients of a larger l2 norm are scaled down to it."""
    guidance_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 7.5
    """Of classifier-free guidance when sampling; up to 1 there is none."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them; for GPUs with too little memory."""

    @model_validator(mode="before")
    @classmethod
    def _only_adapters_have_a_rank(cls, values: Any) -> Any:
        # So that a grid over methods and ranks holds full fine-tuning once.
        if isinstance(values, dict) and values.get("method", "full") == "full":
            return {key: value for key, value in values.items() if key != "lora_rank"}
        return values

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method == "lora" and self.lora_rank is None:
            raise ValueError("text.lora_rank = none: text.method = lora needs a rank, such as 16")
        if self.prompt == "captions" and self.captions is None:
            raise ValueError("text.prompt = captions: needs text.captions, a CSV or JSONL file of names and captions")
        if self.prompt != "captions" and self.captions is not None:
            raise ValueError(
                f"text.captions = {self.captions}: text.prompt = {self.prompt} does not read it, set text.prompt = "
                "captions"
            )
        return self


def check_pipeline_settings(experiment: "Experiment") -> None:
    """Refuse settings that the kind of model does not read.

    Raises:
        ValueError: a setting of `text` without a pipeline, or one of networks that are trained from noise with one.
    """
    if experiment.model.architecture != "pipeline":
        changed = experiment.text.model_dump(exclude_defaults=True)
        for name, value in changed.items():
            raise ValueError(
                f"text.{name} = {value}: model.architecture = {experiment.model.architecture} takes no text, "
                "set model.architecture = pipeline"
            )
        return
    for name, value in experiment.model.model_dump(exclude_defaults=True).items():
        if name != "architecture":
            default = ModelConfig.model_fields[name].default
            raise ValueError(
                f"model.{name} = {value}: a pipeline brings its own network (text.pipeline), leave it at {default}"
            )
    for key, value, allowed, reason in (
        ("data.labels", experiment.data.labels, ("none",), "a pipeline is conditioned by text.prompt"),
        ("training.warmup_epochs", experiment.training.warmup_epochs, (0,), "pipelines have text.warmup_steps"),
        (
            "training.precision",
            experiment.training.precision,
            get_args(Precision),
            "a pipeline is not measured before it is trained",
        ),
        ("training.compile", experiment.training.compile, ("auto", "none"), "pipelines are not compiled"),
        (
            "training.micro_batch_size",
            experiment.training.micro_batch_size,
            (None,),
            "pipelines have text.accumulation_steps, times training.batch_size images a step",
        ),
        ("evaluation.sampler", experiment.evaluation.sampler, ("ode",), "pipelines are sampled by DDIM"),
    ):
        if value not in allowed:
            raise ValueError(f"{key} = {value}: {reason}, set it to {'none' if allowed[0] is None else allowed[0]}")
