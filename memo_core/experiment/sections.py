"""The four sections of an experiment: data, model, training, evaluation; frozen, validated models."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from memo_core.errors import MemosweepError

EMBEDDED_RESOLUTION = {"digits": 8, "cifar10": 32}
EMBEDDED_SIZE = {"digits": 1797, "cifar10": 50_000}
EMBEDDED_CLASSES = {"digits": 10, "cifar10": 10}


MAX_IMAGES = 10**15
"""Images seen in a training; at a million a second it would take thirty years."""
MAX_EVALUATIONS = 1_000_000
_MAX_SAMPLES = 10_000_000
"""Images drawn by an evaluation, which are held in memory."""
_MAX_SIDE = 16_384
"""Pixels a side, and channels of a network at its widest: far above what any memory can train."""


def _as_mask(value: Any) -> Any:
    """Accept a skip mask as `110...`, as `1,1,0,...` or as a sequence of 0 and 1."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        value = value.strip("[]() ").replace(",", "").replace(" ", "")
        return tuple(value)
    return value


def _as_list(value: Any) -> Any:
    """Accept a comma-separated list (`3,5`) where a sequence is meant."""
    if isinstance(value, str) and "," in value:
        return tuple(part for part in value.strip("[]() ").split(",") if part.strip())
    return value


Bit = Annotated[int, Field(ge=0, le=1)]
SkipMask = Annotated[tuple[Bit, ...], BeforeValidator(_as_mask)]
ClassIndex = Annotated[int, Field(ge=0)]
Classes = Annotated[
    Annotated[int, Field(ge=1, le=100_000_000)] | Annotated[tuple[ClassIndex, ...], Field(min_length=1)],
    BeforeValidator(_as_list),
]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Order = Literal["cyclic", "reshuffled", "replacement"]


class Section(BaseModel):
    """A frozen group of settings that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("expected a number or a word, not true or false")
        return value


class DataConfig(Section):
    """The training set: paper sections 2, 3 and 6."""

    dataset: str = "digits"
    """`digits`, `cifar10`, or a path to an EDM-format zip or folder, an image folder, an .npz or an .npy."""
    size: Annotated[int, Field(ge=2, le=100_000_000)] = 1000
    """|D|, the number of training images; two at least, since the criterion asks for a second neighbor."""
    resolution: Annotated[int, Field(ge=4, le=_MAX_SIDE)] | None = None
    """Pixels a side after area downsampling; none keeps the data set's own."""
    classes: Classes | None = None
    """How many classes (chosen by `seed`), or which class indices as a list; none takes all."""
    blend_dataset: str | None = None
    """A second source, of which the share `blend_ratio` of the training set is taken (Fig. 2c)."""
    blend_classes: Classes | None = None
    """As `classes`, for the second source."""
    blend_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """alpha of section 3.2: the share of the second source."""
    labels: Literal["none", "true", "random", "unique"] = "none"
    """What the model is conditioned on (section 6)."""
    num_labels: Annotated[int, Field(ge=1, le=100_000_000)] = 10
    """C of the random labels; the other kinds of label bring their own number."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the subset and of the random labels."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known = EMBEDDED_SIZE.get(self.dataset)
        # A blended set has more images than its first source only where the second is another one.
        if known is not None and self.size > known and (self.blend_ratio == 0 or self.blend_dataset == self.dataset):
            raise ValueError(f"data.size = {self.size}: {self.dataset} has only {known:,} images")
        native = EMBEDDED_RESOLUTION.get(self.dataset)
        if native is not None and self.resolution is not None and self.resolution > native:
            raise ValueError(
                f"data.resolution = {self.resolution}: {self.dataset} has {native} pixels a side, "
                "and images are only ever made smaller"
            )
        for key, dataset, classes in (
            ("classes", self.dataset, self.classes),
            ("blend_classes", self.blend_dataset, self.blend_classes),
        ):
            self._check_classes(key, dataset, classes)
        num_classes = len(self.classes) if isinstance(self.classes, tuple) else self.classes or 0
        if num_classes > self.size:
            raise ValueError(f"data.classes = {num_classes}: more classes than the {self.size} images (data.size)")
        self._check_blend()
        if self.labels == "random" and self.num_labels > self.size:
            raise ValueError(
                f"data.num_labels = {self.num_labels}: more labels than the {self.size} images (data.size)"
            )
        return self

    def _check_blend(self) -> None:
        if self.blend_ratio > 0 and self.blend_dataset is None:
            raise ValueError(f"data.blend_ratio = {self.blend_ratio}: needs a second source, set data.blend_dataset")
        if not 0 < self.blend_ratio < 1 or self.blend_dataset != self.dataset:
            return
        # Numbers of classes share a seeded order; a number beside a list shows only once the data is read.
        first, second = self.classes, self.blend_classes
        if isinstance(first, tuple) and isinstance(second, tuple):
            common = bool(set(first) & set(second))
        else:
            common = first is None or second is None or type(first) is type(second)
        if common:
            raise ValueError(
                f"data.blend_dataset = {self.blend_dataset}: is the first source too, and images of common classes "
                "would be there twice; set data.classes and data.blend_classes to lists that share none, such as [3] "
                "and [5] (5 alone: five of them)"
            )

    @staticmethod
    def _check_classes(key: str, dataset: str | None, classes: int | tuple[int, ...] | None) -> None:
        if classes is None:
            return
        if isinstance(classes, tuple) and len(set(classes)) != len(classes):
            raise ValueError(f"data.{key} = {list(classes)}: a class is named twice")
        known = EMBEDDED_CLASSES.get(dataset or "")
        if known is None:
            return
        if isinstance(classes, int) and classes > known:
            raise ValueError(f"data.{key} = {classes}: {dataset} has {known} classes")
        if isinstance(classes, tuple) and max(classes) >= known:
            raise ValueError(f"data.{key} = {list(classes)}: the classes of {dataset} are 0 to {known - 1}")


class ModelConfig(Section):
    """The network: paper section 4 and Appendix B, Karras et al. 2022 Table 1."""

    architecture: Literal["ddpmpp", "ncsnpp", "optimum", "pipeline"] = "ddpmpp"
    """`optimum` is no network: the closed-form optimal denoiser (paper, eq. 2 and 61), which is not trained. `pipeline`
    is the U-Net of a diffusers pipeline, which is fine-tuned (`TextConfig`)."""
    preconditioning: Literal["vp", "ve", "edm"] = "vp"
    width: Annotated[int, Field(ge=4, le=_MAX_SIDE, multiple_of=4)] = 128
    """The channel multiplier of the paper: channels are width x `channel_multipliers`."""
    depth: Annotated[int, Field(ge=1, le=100)] = 2
    """Residual blocks per resolution."""
    time_embedding: Literal["positional", "fourier"] = "positional"
    skip_connections: SkipMask | None = None
    """1 keeps, 0 removes each skip connection, encoder order; none keeps all."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.13
    attention_resolution: Annotated[int, Field(ge=0, le=_MAX_SIDE)] | None = None
    """Where self-attention stands; none takes EDM's (16 for 32 and 64 pixels, 8 for 16, 4 for 8), 0 leaves
    it to the decoder's first block alone."""
    channel_multipliers: Annotated[
        tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1, max_length=12), BeforeValidator(_as_list)
    ] = (2, 2, 2)

    @model_validator(mode="before")
    @classmethod
    def _architecture_defaults(cls, values: Any) -> Any:
        """Give NCSN++ its VE and Fourier embedding (Song et al. 2021b) where neither is set."""
        if isinstance(values, dict) and values.get("architecture") == "ncsnpp":
            return {"preconditioning": "ve", "time_embedding": "fourier", **values}
        return values

    @model_validator(mode="after")
    def _mask_fits(self) -> Self:
        expected = self.num_skip_connections
        if self.skip_connections is not None and len(self.skip_connections) != expected:
            raise ValueError(
                f"model.skip_connections: {len(self.skip_connections)} entries, but depth {self.depth} and "
                f"{len(self.channel_multipliers)} resolutions have {expected} skip connections"
            )
        return self

    @property
    def num_skip_connections(self) -> int:
        """Skip connections of the U-Net: (depth + 1) at each resolution (paper, section 4.3)."""
        return len(self.channel_multipliers) * (self.depth + 1)

    def check_resolution(self, resolution: int) -> None:
        """Raise MemosweepError where this network cannot take images of `resolution` pixels a side."""
        halvings = len(self.channel_multipliers) - 1
        if resolution % 2**halvings:
            raise MemosweepError(
                f"data.resolution = {resolution}: the U-Net halves it {halvings} times, "
                f"so it must be a multiple of {2**halvings}"
            )
        resolutions = [resolution >> level for level in range(halvings + 1)]
        if self.attention_resolution and self.attention_resolution not in resolutions:
            raise MemosweepError(
                f"model.attention_resolution = {self.attention_resolution}: the network has "
                f"{', '.join(map(str, resolutions))} at data.resolution {resolution}"
            )

    def attention_at(self, resolution: int) -> int:
        """Return the resolution that carries self-attention for images of `resolution` pixels; 0 for none."""
        if self.attention_resolution is not None:
            return self.attention_resolution
        levels = [resolution >> level for level in range(len(self.channel_multipliers))]
        if 16 in levels[1:]:
            return 16
        return levels[1] if len(levels) > 1 else 0


Precision = Literal["float32", "tf32", "bfloat16"]
Compile = Literal["auto", "none", "graph", "full"]


class TrainingConfig(Section):
    """The training procedure: paper section 5 and Appendix B."""

    epochs: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """The budget in passes over the training set, as in the paper; or `images`."""
    images: Annotated[int, Field(ge=1, le=MAX_IMAGES)] | None = None
    """The budget in images seen, whatever |D|; or `epochs`."""
    batch_size: Annotated[int, Field(ge=1, le=_MAX_SAMPLES)] = 512
    micro_batch_size: Annotated[int, Field(ge=1, le=_MAX_SAMPLES)] | None = None
    """The most images of a batch at once in memory; gradients of the parts are added up, which without dropout gives
    the numbers of the whole batch, to rounding. None takes the batch at once."""
    learning_rate: Positive = 2e-4
    weight_decay: Rate = 0.0
    """L2 added to the gradient, as torch.optim.Adam does (not decoupled); pipelines are trained by AdamW."""
    ema_decay: Annotated[float, Field(ge=0, le=1)] = 0.99929
    warmup_epochs: Rate = 200.0
    """Epochs over which the learning rate and the EMA rate rise."""
    precision: Literal["auto", Precision] = "float32"
    """`tf32` rounds the factors of a GPU's float32 products to 10 bits; `bfloat16` is autocast: weights, loss,
    optimizer and average stay float32. `auto` measures at the start of a training what is fastest on its device."""
    compile: Compile = "auto"
    """How a step runs: operation by operation (`none`), captured as one CUDA graph (`graph`), or compiled too (`full`);
    `auto` is `full` on a GPU, and on a CPU where it saves more time than it takes, else `none`. The numbers differ by
    rounding, dropout's draws under `full` too."""
    order: Order = "cyclic"
    """The order in which training images are drawn, from `seed`.

    `cyclic`: one permutation, walked in cycles, as in the published runs, whose commands set `--window-size=0` of EDM's
    `InfiniteSampler` (github.com/sail-sg/DiffMemorize, scripts); `reshuffled`: a new permutation for each epoch;
    `replacement`: independent uniform draws. With the first two every image is drawn equally often. Batches cross the
    border between epochs.
    """

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.epochs is None) == (self.images is None):
            raise ValueError(f"training.epochs = {self.epochs}, training.images = {self.images}: set one of the two")
        return self


class EvaluationConfig(Section):
    """When and how the memorization ratio is measured: paper section 2 and Appendix B."""

    every_epochs: Positive | None = None
    """Evaluate each so many epochs; or `every_images`, or `count`."""
    every_images: Annotated[int, Field(ge=1, le=MAX_IMAGES)] | None = None
    """Evaluate each so many images seen (the published runs: 2.5 million)."""
    count: Annotated[int, Field(ge=1, le=MAX_EVALUATIONS)] | None = None
    """Evaluate so many times, evenly over the budget."""
    num_samples: Annotated[int, Field(ge=1, le=_MAX_SAMPLES)] = 10_000
    steps: Annotated[int, Field(ge=2, le=100_000)] = 18
    sampler: Literal["ode", "sde"] = "ode"
    """Deterministic (Karras et al. 2022, Algorithm 1, as the paper's numbers) or stochastic (Algorithm 2)."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 1 / 3
    batch_size: Annotated[int, Field(ge=1, le=_MAX_SAMPLES)] = 500
    """The most images drawn at once; fewer where the free memory holds fewer."""
    neighbors: Literal["exact", "faiss"] = "exact"
    """How nearest training images are searched; `faiss` needs `memosweep[faiss-cpu]` or `[faiss-gpu]`. The numbers are
    the same."""
    fid: bool = False
    """Report the FID against the training set too (Appendix E); needs InceptionV3 (`memosweep[fid]`)."""

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.fid and self.num_samples < 2:
            raise ValueError(f"evaluation.num_samples = {self.num_samples}: evaluation.fid needs at least 2")
        given = [self.every_epochs, self.every_images, self.count]
        if sum(value is not None for value in given) != 1:
            raise ValueError(
                f"evaluation.every_epochs = {self.every_epochs}, evaluation.every_images = "
                f"{self.every_images}, evaluation.count = {self.count}: set one of the three"
            )
        return self
