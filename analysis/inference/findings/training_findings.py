"""Findings on training and on the conditioning: sections 5 and 6 of the paper, Tables 1 to 4, Figure 5."""

import numpy as np
import pandas as pd

from analysis.inference.findings.levels import mean_ratio, paper_level
from analysis.inference.findings.model_findings import step
from analysis.inference.findings.verdict import WEAK, Question, falls, little, rises, within
from analysis.inference.main_effects import is_value
from analysis.runs.effects import Cells, Effect, contrast, ln, trend
from analysis.runs.runs import Runs
from analysis.stats.significance import normal_quantile

LABELS = {"data.labels", "data.num_labels"}
DECAY = "training.weight_decay"
EMA = "training.ema_decay"
NEAR_ALL = 0.9
"""Unique labels replicate `near 100%`, 1,000 random ones `over 90%`: the verdict requires a ratio above this."""
HUGE = 50_000
HUGE_RATIO = 0.65


def batch_size_raises(cells: Cells, runs: Runs) -> list[Question]:
    """Table 1; the learning rate depends on the batch size. Slightly: by less than `WEAK`."""
    key, change = "training.batch_size", "from the smallest to the largest batch"
    effect = trend(cells, key, ln, change, ("training.learning_rate",))
    return [little(f"change {change}", effect, f"no two runs that differ in {key} (and learning rate) only", lower=0.0)]


def weight_decay_cliff(cells: Cells, runs: Runs) -> list[Question]:
    """Table 2: none against up to 1e-3, and against 1e-2 and more."""
    missing = f"no runs with and without {DECAY} at equal settings"
    none = is_value(DECAY, 0)
    small = contrast(cells, {DECAY}, none, lambda c: c[DECAY].between(1e-12, 1.001e-3), "none to at most 1e-3")
    large = contrast(cells, {DECAY}, none, lambda c: c[DECAY] >= 0.999e-2, "none to at least 1e-2")
    return [
        little("change from no weight decay to at most 1e-3", small, missing),
        falls("change from no weight decay to 1e-2 and above", large, missing, beyond=-WEAK),
    ]


def ema_weak(cells: Cells, runs: Runs) -> list[Question]:
    """Table 2: over the ranks of the decay rates, whose spacing has no natural scale from 0 to 0.99929."""
    values = sorted(set(cells.frame[EMA].dropna())) if EMA in cells.frame else []
    ranks = {value: float(rank) for rank, value in enumerate(values)}
    effect = trend(cells, EMA, lambda column: column.map(ranks), "from the lowest to the highest EMA decay")
    questions = [little("change of the ratio from the lowest to the highest EMA decay", effect, f"{EMA} does not vary")]
    fid = _fid_change(runs.evaluations)
    return questions if fid is None else [*questions, fid]


def _fid_change(evaluations: pd.DataFrame) -> Question | None:
    """FID at the lowest EMA decay over FID at the highest: `much` is a fifth and more, as in Table 6."""
    if "fid" not in evaluations or EMA not in evaluations or evaluations["fid"].notna().sum() == 0:
        return None
    rows = evaluations.dropna(subset=["fid"])
    best = rows.groupby(["experiment", "trial_id", EMA, "data.size"])["fid"].min().reset_index()
    means = best.pivot_table(values="fid", index="data.size", columns=EMA)
    ratios = np.log((means[means.columns.min()] / means[means.columns.max()]).dropna().to_numpy(dtype=float))
    asks = "FID at the lowest EMA decay over FID at the highest (95% interval above 1.2, or below 1)"
    if len(ratios) < 2:
        return Question(asks, "open", None, "FIDs at two sizes are needed")
    reach = normal_quantile() * float(ratios.std(ddof=1)) / np.sqrt(len(ratios))
    value, low, high = (float(np.exp(ratios.mean() + shift)) for shift in (0.0, -reach, reach))
    effect = Effect("FID", value, low, high, "times", len(ratios), len(best))
    return Question(asks, "yes" if low > 1.2 else "no" if high < 1 else "open", effect)


def conditioning_raises(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 5a and Table 4: true and random labels of as many classes, against none and against each other."""
    none, true = is_value("data.labels", "none"), is_value("data.labels", "true")

    def random(rows: pd.DataFrame) -> pd.Series:
        """As many random labels as the embedded data sets have classes."""
        return (rows["data.labels"] == "random") & (rows["data.num_labels"] == 10)

    missing = "no runs with both kinds of labels at equal settings"
    return [
        rises("change from no to true labels", contrast(cells, LABELS, none, true, "none to true"), missing),
        rises("change from no to random labels", contrast(cells, LABELS, none, random, "none to random"), missing),
        little("change from true to random labels", contrast(cells, LABELS, true, random, "true to random"), missing),
    ]


def random_classes_raise(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 5b and 11c: the direction, and the level at |D| = 5k where the paper's setting was run."""
    random = cells.where(is_value("data.labels", "random"))
    change = "from the fewest to the most random labels"
    effect = trend(random, "data.num_labels", ln, change)
    level = {"data.size": 5000, "data.labels": "random", "data.num_labels": 1000}
    return [
        rises(f"change {change}", effect, "no two runs with random labels that differ in data.num_labels only"),
        paper_level(cells, level, "ratio on CIFAR-10 at |D| = 5k with 1,000 random labels", NEAR_ALL),
    ]


def unique_labels_trigger(cells: Cells, runs: Runs) -> list[Question]:
    """Fig. 5c and Table 4; at 50,000 images the paper's 65% is required, elsewhere `NEAR_ALL`."""
    missing = "no runs with unique and without labels at equal settings"
    change = step(cells, "data.labels", "none", "unique", "none to unique", "data.num_labels")
    questions = [rises("change from no to unique labels", change, missing, beyond=WEAK)]
    labeled = cells.where(is_value("data.labels", "unique"))
    for name, least, part in (
        ("below 50,000 images", NEAR_ALL, labeled.where(lambda c: c["data.size"] < HUGE)),
        ("from 50,000 images on", HUGE_RATIO, labeled.where(lambda c: c["data.size"] >= HUGE)),
    ):
        level = mean_ratio(part, name)
        if level is not None:
            asks = f"ratio with unique labels {name} (95% interval above {100 * least:g}%)"
            questions.append(within(asks, level, above=100 * least))
    return questions


def text_class_prompts_raise(cells: Cells, runs: Runs) -> list[Question]:
    """Table 3: prompts, kind of fine-tuning and rank, in columns `text.prompt`, `text.method`, `text.lora_rank`.

    Full fine-tuning is compared with the highest rank, which memorizes most; LoRA has a learning rate of its own.
    """
    prompt, tuning, rank = "text.prompt", "text.method", "text.lora_rank"
    prompts = step(cells, prompt, "plain", "class", "plain to class prompts")
    highest = cells.frame[rank].max() if rank in cells.frame else None
    strongest = cells.where(lambda c: ~is_value(tuning, "lora")(c) | is_value(rank, highest)(c))
    full = step(strongest, tuning, "lora", "full", "LoRA to full", rank, "training.learning_rate")
    ranks = trend(cells.where(is_value(tuning, "lora")), rank, ln, "from the lowest to the highest rank")
    return [
        rises("change from plain to class prompts", prompts, "no runs with plain and class prompts at equal settings"),
        rises("change from LoRA to full fine-tuning", full, "no runs of LoRA and full fine-tuning at equal settings"),
        rises("change from the lowest to the highest rank", ranks, "no runs with two ranks at equal settings"),
    ]
