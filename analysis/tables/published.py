"""The paper's own numbers, from `analysis/paper/*.csv` (sources: `analysis/paper/README.md`)."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

PAPER = Path(__file__).parent.parent / "paper"


@dataclass(frozen=True)
class Block:
    """One table, or the left or right half of one."""

    caption: str
    file: str
    """Of `analysis/paper`, without `.csv`."""
    rows: tuple[str, ...]
    """The file's columns that name a row of the table, and the dotted keys behind them."""
    keys: tuple[str, ...]
    metric: str
    source: str
    dataset: str = "cifar10"


def published(block: Block) -> pd.DataFrame:
    """A block's cells: columns `block.keys`, `data.size` and `published` (percent for ratios)."""
    # `none` is text, not a missing value.
    frame = pd.read_csv(PAPER / f"{block.file}.csv", keep_default_na=False, na_values=[""])
    renamed = frame.rename(columns=dict(zip(block.rows, block.keys, strict=True)) | {"size": "data.size"})
    cells = renamed.assign(published=renamed[block.metric].astype("float64"))
    return cells[[*block.keys, "data.size", "published"]]


def _halves(metric: str, number: int) -> tuple[Block, ...]:
    return (
        Block("Weight decay", "weight_decay", ("weight_decay",), ("training.weight_decay",), metric,
              f"Table {number} (left)"),
        Block("EMA", "ema", ("ema_decay",), ("training.ema_decay",), metric, f"Table {number} (right)"),
    )  # fmt: skip


def _batch(metric: str, number: int) -> tuple[Block, ...]:
    keys = ("training.batch_size", "training.learning_rate")
    return (Block("Batch size", "batch_size", ("batch_size", "learning_rate"), keys, metric, f"Table {number}"),)


BLOCKS: dict[int, tuple[Block, ...]] = {
    1: _batch("memorization_ratio", 1),
    2: _halves("memorization_ratio", 2),
    3: (
        Block("Fine-tuning and text conditioning", "text_conditioning", ("finetuning", "lora_rank", "prompt"),
              ("text.method", "text.lora_rank", "text.prompt"), "memorization_ratio", "Table 3", "imagenette"),
    ),
    4: (Block("Conditioning", "conditioning", ("labels",), ("data.labels",), "memorization_ratio", "Table 4"),),
    5: _batch("fid", 5),
    6: _halves("fid", 6),
    7: _batch("knn_distance", 7),
    8: _halves("knn_distance", 8),
}  # fmt: skip
"""Each table's blocks, in the paper's order."""

_HALVES = "under different (left) weight decay values; (right) EMA values"
CAPTIONS = {
    1: "Memorization ratios (%) under different batch sizes",
    2: f"Memorization ratios (%) {_HALVES}",
    3: "Memorization ratios (%) of Stable Diffusion under fine-tuning approaches and text conditionings",
    4: "Memorization ratios (%) of unconditional and conditional diffusion models",
    5: "FIDs under different batch sizes",
    6: f"FIDs {_HALVES}",
    7: "kNN distances under different batch sizes",
    8: f"kNN distances {_HALVES}",
}
