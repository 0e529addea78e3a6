"""How the studied factors are called and spaced, and where the paper shows them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

Scale = Literal["linear", "log", "category"]


@dataclass(frozen=True)
class Factor:
    """One studied factor."""

    title: str
    """Its one name on axes, in headings, legends and tables."""
    scale: Scale = "category"
    """Of its axis; values that are not numbers are categories whatever it says."""
    over_size: str = ""
    """The paper's figure of ratio over |D| with a curve per value."""
    over_factor: str = ""
    """The paper's figure of ratio over the factor with a curve per |D|."""
    over_epochs: str = ""
    """The paper's figure of ratio over training with a curve per value."""
    names: Mapping[Any, str] = field(default_factory=dict)
    """Values in the paper's words."""
    missing: str = "none"
    """What no value means."""
    says_itself: bool = False
    """Whether a value needs no name in front, such as `true labels`."""


FACTORS: dict[str, Factor] = {
    "data.dataset": Factor("Data set", says_itself=True),
    "data.size": Factor("|D|", "log", over_epochs="Fig. 1c-d"),
    "data.resolution": Factor("Resolution", "log", over_size="Fig. 2a, 11a", missing="native"),
    "data.classes": Factor("Number of classes", over_size="Fig. 2b", missing="all"),
    "data.blend_ratio": Factor("Blended share alpha", "linear", over_size="Fig. 2c"),
    "data.labels": Factor(
        "Conditioning",
        over_size="Fig. 5a, 5c",
        over_epochs="Fig. 9",
        names={"none": "unconditional", "true": "true labels", "random": "random labels", "unique": "unique labels"},
        says_itself=True,
    ),
    "data.num_labels": Factor(
        "Number of random classes C", "log", over_size="Fig. 11c", over_factor="Fig. 5b", missing="-"
    ),
    "data.seed": Factor("Subset seed"),
    "seed": Factor("Training seed"),
    "model.width": Factor("Width", over_size="Fig. 3a", over_factor="Fig. 7a", over_epochs="Fig. 7c, 7e"),
    "model.depth": Factor("Depth", over_size="Fig. 3b", over_factor="Fig. 7b", over_epochs="Fig. 7d, 7f"),
    "model.time_embedding": Factor("Time embedding", over_size="Fig. 3c, 11b", says_itself=True),
    "model.skip_connections": Factor("Skip connections kept", over_factor="Fig. 4, 8", missing="all"),
    "model.architecture": Factor("Architecture", over_factor="Fig. 4",
                                 names={"ddpmpp": "DDPM++", "ncsnpp": "NCSN++"}, says_itself=True),
    "training.batch_size": Factor("Batch size", over_factor="Table 1"),
    "training.weight_decay": Factor("Weight decay", "log", over_factor="Table 2 (left)"),
    "training.ema_decay": Factor("EMA decay", over_factor="Table 2 (right)"),
    "text.method": Factor("Fine-tuning", over_size="Table 3", names={"full": "full fine-tuning", "lora": "LoRA"},
                          says_itself=True),
    "text.lora_rank": Factor("LoRA rank", "log", missing="-"),
    "text.prompt": Factor("Prompts", names={"plain": "plain prompts", "class": "class prompts"}, says_itself=True),
    "training.order": Factor(
        "Order of the images",
        names={"cyclic": "one order in cycles", "reshuffled": "reshuffled each epoch",
               "replacement": "drawn with replacement"},
        says_itself=True,
    ),
}  # fmt: skip

DEPENDENT: dict[str, tuple[str, ...]] = {
    # A value of the key brings these with it, so they may differ between its trials.
    "data.resolution": ("model.attention_resolution", "model.channel_multipliers"),
    "data.labels": ("data.num_labels",),
    "data.blend_ratio": ("data.blend_dataset", "data.blend_classes"),
    "model.depth": ("model.skip_connections",),
    "model.architecture": ("model.preconditioning", "model.time_embedding"),
    "training.batch_size": ("training.learning_rate",),
    "text.method": ("text.lora_rank", "training.learning_rate"),
    "text.prompt": ("text.captions",),
}

USUAL: Mapping[str, Mapping[str, Any]] = {
    # The usual value of a dependent setting where a value was run with several: the same for all values, or by value.
    "data.labels": {"data.num_labels": 10},
    "model.depth": {"model.skip_connections": None},
    "model.architecture": {
        "model.preconditioning": {"ddpmpp": "vp", "ncsnpp": "ve"},
        "model.time_embedding": {"ddpmpp": "positional", "ncsnpp": "fourier"},
    },
}

_PLAIN: Mapping[str, str] = {
    # Settings that are no factors and whose own names say too little.
    "training.images": "Images trained on",
    "training.epochs": "Epochs trained",
    "evaluation.sampler": "Sampler",
    "evaluation.steps": "Sampling steps",
}

METRIC_TITLES: Mapping[str, str] = {
    "memorization_ratio": "Memorization ratio (%)",
    "fid": "FID",
    "knn_distance": "kNN distance",
}


def declare(sweeps: Iterable[Mapping[str, Any]]) -> None:
    """Learn the factors that the paper does not study, as their sweep scripts declare them.

    Args:
        sweeps: of each its `sweep.json`: `key`, and `title`, `scale` and `dependent` where the script has them.
    """
    for sweep in sweeps:
        key = sweep.get("key")
        if key is None or key in FACTORS:
            continue
        plain = factor(key)
        FACTORS[key] = Factor(sweep.get("title", plain.title), sweep.get("scale", plain.scale))
        DEPENDENT[key] = tuple(sweep.get("dependent", ()))


def factor(key: str) -> Factor:
    """Return what is known of a key; one that nobody declared is called by its own words, and has a linear axis."""
    known = FACTORS.get(key)
    if known is not None:
        return known
    section, _, name = key.rpartition(".")
    words = f"evaluation {name}" if section == "evaluation" else name  # it has a batch size of its own
    return Factor(_PLAIN.get(key) or words.replace("_", " ").capitalize(), scale="linear")


def title_of(keys: str) -> str:
    """The name of a factor, or of several that move together and are joined by ` + `."""
    return " + ".join(factor(key).title for key in keys.split(" + "))


def inside_sentence(title: str) -> str:
    """A title without its capital, unless that is part of an abbreviation."""
    return title[:1].lower() + title[1:] if title[1:2].islower() or title[1:2] == " " else title


def value_label(key: str, value: Any) -> str:
    """A value as a legend says it, such as `|D| = 2k` or `true labels`."""
    known = factor(key)
    text = value_text(key, value)
    return text if known.says_itself else f"{known.title} = {text}"


def value_text(key: str, value: Any) -> str:
    """A value in few characters, such as `2k`, `1e-05`, `32x32` or `110110110`."""
    known = factor(key)
    if value is None or pd.isna(value):
        return known.missing
    if value in known.names:
        return known.names[value]
    if key in ("data.dataset", "data.blend_dataset"):
        return str(value).rstrip("/").rpartition("/")[2]
    if key in ("data.size", "training.images"):
        return size_text(int(value))
    if key == "data.resolution":
        return f"{value:g}x{value:g}"
    if key == "model.skip_connections":
        return str(value).replace(",", "")
    return f"{value:g}" if isinstance(value, float) else str(value)


def ratio_text(percent: float, is_bound: bool, digits: int = 2) -> str:
    """A ratio in percent, with `>=` before a lower bound: that of a trial that was stopped on reaching its target."""
    return f"{'>=' if is_bound else ''}{percent:.{digits}f}"


def in_order(key: str, values: Iterable[Any]) -> list[Any]:
    """Distinct values as legends and tables list them: numbers ascending, the paper's words, missing ones last."""
    words = {name: place for place, name in enumerate(factor(key).names)}

    def place(value: Any) -> tuple[int, float, str]:
        if pd.isna(value):
            return 3, 0.0, ""
        if isinstance(value, str):
            return 1 if value in words else 2, float(words.get(value, 0)), value
        return 0, float(value), ""

    return sorted(dict.fromkeys(values), key=place)


def size_text(size: float) -> str:
    """`500`, `1k`, `2.5k`, `50k`, `2M`: thousands from 1,000 on, as the paper's axes say them."""
    if size >= 1e6:
        return f"{size / 1e6:g}M"
    return f"{size:g}" if size < 1000 else f"{size / 1000:g}k"


_DATASET, _RESOLUTION = "data.dataset", "data.resolution"
_DATASETS = {"cifar10": "CIFAR-10", "digits": "Digits"}


def dataset_title(evaluations: pd.DataFrame) -> str:
    """Return the data set of some runs, such as `CIFAR-10` or `Digits, 4x4`; empty where they are unknown or several.

    Args:
        evaluations: of `Runs`; several data sets are what distinguishes the runs, and stand where their values do.
    """
    names, resolutions = (_distinct(evaluations, key) for key in (_DATASET, _RESOLUTION))
    if len(names) != 1 or pd.isna(names[0]):
        return ""
    name = _DATASETS.get(str(names[0]), value_text(_DATASET, names[0]))
    if len(resolutions) == 1 and pd.notna(resolutions[0]):
        return f"{name}, {value_text(_RESOLUTION, resolutions[0])}"
    return name


def _distinct(frame: pd.DataFrame, key: str) -> list[Any]:
    return frame[key].unique().tolist() if key in frame else []
