"""Each finding: data that support it, data that contradict it, and too little data."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.findings import TESTS, Verdict, published, size_slope, verdicts
from analysis.runs.effects import make_cells
from analysis.runs.final import best
from analysis.runs.runs import Runs
from analysis.runs.seeds import seed_spread
from tests.fakes import BASE, SIZES, SLOPE, Settings, Shift, frame, grid

MASKS = ("1,1,1,1,1,1,1,1,1", "1,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,1,1,1")


def per(key: str, effect: float, log: bool = True) -> Shift:
    """`effect` in logits per e-fold (or per unit) of a setting, none at its value in the paper's base."""
    return lambda s: effect * (math.log(s[key] / BASE[key]) if log else s[key] - BASE[key])


def when(key: str, values: Any, effect: float) -> Shift:
    """`effect` in logits where a setting has one of some values."""
    return lambda s: effect if s[key] in values else 0.0


def low_masks(effect_low: float, effect_high: float) -> Shift:
    return lambda s: {MASKS[1]: effect_high, MASKS[2]: effect_low}.get(s["model.skip_connections"], 0.0)


def labels(**effects: float) -> Shift:
    return lambda s: effects.get(s["data.labels"], 0.0)


REPEATS = {"data__size": SIZES, "seed": (0, 1, 2)}
WIDTHS = grid(model__width=(64, 128, 192, 256), **REPEATS)
DEPTHS = grid(model__depth=(2, 4, 6, 8, 12), **REPEATS)
DECAYS = grid(training__weight_decay=(0, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 1e-1), **REPEATS)
EMAS = grid(training__ema_decay=(0.0, 0.5, 0.99, 0.99929), **REPEATS)
LABELS = grid(data__labels=("none", "true", "random"), **REPEATS)
COUNTS = grid(data__labels=("random",), data__num_labels=(2, 10, 100, 1000), data__size=(2000, 5000), seed=(0, 1))
UNIQUE = grid(data__labels=("none", "unique"), data__size=(2000, 5000), seed=(0, 1))
CLASSES = grid(data__classes=(1, 2, 5, None), **REPEATS)
BLENDS = grid(data__blend_ratio=(0.0, 0.3, 0.6), **REPEATS)
BATCHES = grid(training__batch_size=(128, 256, 512, 896), **REPEATS)
RESOLUTIONS = grid(data__resolution=(8, 16, None), data__size=(2000, 4000, 8000))
EMBEDDINGS = grid(model__time_embedding=("positional", "fourier"), **REPEATS)
ARCHITECTURES = grid(model__architecture=("ddpmpp", "ncsnpp"), **REPEATS)
SKIPS = grid(model__skip_connections=MASKS, **REPEATS)
ZETAS = grid(model__width=(64, 128, 192, 256), data__size=(300, 500, 700, 1000, 1400, 2000))
NEAR_PIVOT = grid(
    model__width=(64, 128, 192, 256),
    data__size=(300, 800, 1000, 1100, 1150, 1200, 1250, 1300, 1400, 1600, 2000),
    seed=(0, 1, 2),
)
TEXT = grid(text__prompt=("plain", "class"), text__method=("lora", "full"), text__lora_rank=(16, 256), **REPEATS)


def hump(s: Settings) -> float:
    return -0.25 * abs(s["model.depth"] - 6)


def crossing_slopes(s: Settings) -> float:
    """Slopes that grow with width, around 85%: the order of EMMs turns between zeta 0.1 and 0.2."""
    steep = {64: 1.0, 128: 2.0, 192: 4.0, 256: 8.0}[s["model.width"]]
    # The base curve passes ln(0.85 / 0.15) at some size; turn it about that point.
    pivot = (math.log(0.92 / 0.08) - math.log(0.85 / 0.15)) / -SLOPE
    return (steep - 1) * SLOPE * (math.log(s["data.size"] / 1000) - pivot)


SUPPORT: list[tuple[str, Sequence[Settings], Shift]] = [
    ("smaller_data_memorizes", grid(**REPEATS), lambda _: 0.0),
    ("lower_resolution_memorizes", RESOLUTIONS, lambda s: -1.5 * math.log((s["data.resolution"] or 32) / 32)),
    ("class_diversity_weak", CLASSES, lambda s: -0.13 * math.log(s["data.classes"] or 10)),
    ("intra_class_diversity_weak", BLENDS, per("data.blend_ratio", -0.55, log=False)),
    ("width_monotonic", WIDTHS, per("model.width", 1.0)),
    ("depth_non_monotonic", DEPTHS, hump),
    ("fourier_embedding_lowers", EMBEDDINGS, when("model.time_embedding", ["fourier"], -0.8)),
    ("high_resolution_skips_matter", SKIPS, low_masks(-2.5, 0.0)),
    ("ncsnpp_below_ddpmpp", ARCHITECTURES, when("model.architecture", ["ncsnpp"], -2.5)),
    ("batch_size_raises", BATCHES, per("training.batch_size", 0.16)),
    ("weight_decay_cliff", DECAYS, when("training.weight_decay", [1e-2, 5e-2, 1e-1], -3.0)),
    ("ema_weak", EMAS, lambda _: 0.0),
    ("conditioning_raises", LABELS, labels(true=1.0, random=1.0)),
    ("random_classes_raise", COUNTS, per("data.num_labels", 1.2)),
    ("unique_labels_trigger", UNIQUE, lambda s: 8.0 if s["data.labels"] == "unique" else 0.0),
    ("zeta_ordering_stable", ZETAS, per("model.width", 1.0)),
]
CONTRADICT: list[tuple[str, Sequence[Settings], Shift]] = [
    ("smaller_data_memorizes", grid(**REPEATS), per("data.size", 5.0)),
    ("lower_resolution_memorizes", RESOLUTIONS, lambda s: 1.5 * math.log((s["data.resolution"] or 32) / 32)),
    ("class_diversity_weak", CLASSES, lambda s: -1.0 * math.log(s["data.classes"] or 10)),
    ("intra_class_diversity_weak", BLENDS, per("data.blend_ratio", 2.0, log=False)),
    ("width_monotonic", WIDTHS, per("model.width", -1.0)),
    ("depth_non_monotonic", DEPTHS, lambda s: 0.25 * s["model.depth"]),
    ("fourier_embedding_lowers", EMBEDDINGS, when("model.time_embedding", ["fourier"], 0.8)),
    ("high_resolution_skips_matter", SKIPS, low_masks(0.0, -2.5)),
    ("ncsnpp_below_ddpmpp", ARCHITECTURES, when("model.architecture", ["ncsnpp"], 2.0)),
    ("batch_size_raises", BATCHES, per("training.batch_size", -0.5)),
    ("weight_decay_cliff", DECAYS, lambda _: 0.0),
    ("ema_weak", EMAS, per("training.ema_decay", 3.0, log=False)),
    ("conditioning_raises", LABELS, labels(true=1.0, random=-1.0)),
    ("random_classes_raise", COUNTS, per("data.num_labels", -0.5)),
    ("unique_labels_trigger", UNIQUE, lambda _: 0.0),
    ("zeta_ordering_stable", NEAR_PIVOT, crossing_slopes),
]


def verdict(name: str, data: pd.DataFrame) -> Verdict:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return verdicts(Runs.of(data), [name])[0]


@pytest.mark.parametrize(("name", "trials", "shift"), SUPPORT, ids=[case[0] for case in SUPPORT])
def test_planted_effects_support_the_finding(name: str, trials: Sequence[Settings], shift: Shift) -> None:
    answer = verdict(name, frame(trials, shift))
    assert answer.headline == "supported", answer.questions
    assert answer.effect is not None
    assert answer.effect.low <= answer.effect.value <= answer.effect.high


@pytest.mark.parametrize(("name", "trials", "shift"), CONTRADICT, ids=[case[0] for case in CONTRADICT])
def test_planted_effects_contradict_the_finding(name: str, trials: Sequence[Settings], shift: Shift) -> None:
    assert verdict(name, frame(trials, shift)).headline == "contradicted"


@pytest.mark.parametrize(("name", "trials", "shift"), SUPPORT, ids=[case[0] for case in SUPPORT])
def test_two_trials_decide_nothing(name: str, trials: Sequence[Settings], shift: Shift) -> None:
    answer = verdict(name, frame([trials[0], trials[-1]], shift))
    assert answer.headline == "undecided: too little data"
    assert answer.needs


def test_no_data_decide_nothing() -> None:
    answers = verdicts(Runs.of(pd.DataFrame()))
    assert [answer.id for answer in answers] == [row["id"] for row in published()] == list(TESTS)
    assert {answer.headline for answer in answers} == {"undecided: too little data"}


def test_settings_that_differ_in_two_ways_are_not_compared() -> None:
    trials = grid(model__width=(64, 256), model__depth=(2, 4), **REPEATS)
    confounded = [s for s in trials if (s["model.width"] == 64) == (s["model.depth"] == 2)]
    assert verdict("width_monotonic", frame(confounded, per("model.width", 1.0))).headline.startswith("undecided")


def test_unfinished_runs_are_left_out() -> None:
    data = frame(WIDTHS, per("model.width", 1.0))
    data["status"] = "interrupted"
    assert {answer.headline for answer in verdicts(Runs.of(data))} == {"undecided: too little data"}


def test_without_a_status_the_budget_tells_whether_a_run_is_finished() -> None:
    data = frame(WIDTHS, per("model.width", 1.0)).drop(columns="status")
    assert verdict("width_monotonic", data).headline == "supported"
    early = data[data["epoch"] < 40_000]
    assert verdict("width_monotonic", early).headline == "undecided: too little data"


def test_missing_values_and_nullable_columns_do_no_harm() -> None:
    data = frame([*RESOLUTIONS, *WIDTHS], per("model.width", 1.0))
    data = data.astype({"data.size": "Int64", "data.resolution": "Int64", "model.width": "Int64"})
    data.loc[data.index[:8], "memorization_ratio"] = np.nan
    assert verdict("width_monotonic", data).headline == "supported"


def test_samples_of_the_optimum_are_training_images() -> None:
    def of(ratio: float, samples: int) -> Verdict:
        data = frame(grid(data__size=SIZES)).assign(**{"model.architecture": "optimum"})
        return verdict("optimum_replicates", data.assign(memorization_ratio=ratio, num_samples=samples))

    assert of(1.0, 2000).headline == "supported"
    assert of(0.9, 2000).headline == "contradicted"
    assert of(1.0, 4).headline == "undecided: too little data"


def test_text_findings_wait_for_text_runs() -> None:
    assert verdict("text_class_prompts_raise", frame(WIDTHS)).headline == "undecided: too little data"
    effects = {"class": 1.0, "full": 2.0}

    def shift(s: Settings) -> float:
        rank = 0.5 * math.log(s["text.lora_rank"] / 16) if s["text.method"] == "lora" else 0.0
        return effects.get(s["text.prompt"], 0.0) + effects.get(s["text.method"], 0.0) + rank

    assert verdict("text_class_prompts_raise", frame(TEXT, shift)).headline == "supported"
    assert verdict("text_class_prompts_raise", frame(TEXT, lambda s: -shift(s))).headline == "contradicted"


def test_what_is_lacking_is_named_with_the_trials_that_were_left_out() -> None:
    data = frame(TEXT)
    lora = data["text.method"] == "lora"
    trials, lacking = data["trial_id"].nunique(), data.loc[lora, "trial_id"].nunique()
    # LoRA approaches the training images, but has no replica yet.
    data.loc[lora, "memorization_ratio"] = 0.0
    data.loc[lora, "knn_distance"] = 64.0 * 0.5 ** data.loc[lora].groupby("trial_id").cumcount()
    prompts, methods, ranks = verdict("text_class_prompts_raise", data).questions
    assert prompts.effect is not None
    why = f"({lacking} of {trials} finished trials had not begun to memorize: no evidence)"
    assert methods.missing == f"no runs of LoRA and full fine-tuning at equal settings {why}"
    assert ranks.missing == f"no runs with two ranks at equal settings {why}"
    # No word of them where they would not answer it either.
    assert "begun" not in verdict("width_monotonic", data).questions[0].missing


def test_seeds_far_apart_contradict_that_ten_thousand_samples_are_enough() -> None:
    trials = grid(evaluation__num_samples=(10_000,), data__size=SIZES, seed=tuple(range(6)))
    assert verdict("ten_thousand_samples_enough", frame(trials, seed_spread=0.3)).headline == "contradicted"
    close = verdict("ten_thousand_samples_enough", frame(trials, seed_spread=0.0))
    assert close.questions[0].answer == "yes"  # binomial noise at 10,000 samples
    assert close.headline != "contradicted"
    few = verdict("ten_thousand_samples_enough", frame(grid(data__size=SIZES)))
    assert few.headline == "undecided: too little data"


def test_seeds_that_agree_support_that_ten_thousand_samples_are_enough() -> None:
    data = frame(grid(evaluation__num_samples=(10_000,), seed=(0, 1, 2)))
    data["memorization_ratio"] = 0.9209 + 0.0004 * data["seed"]
    assert verdict("ten_thousand_samples_enough", data).headline == "supported"


def test_fid_is_judged_beside_the_ratio_of_ema() -> None:
    data = frame(EMAS)
    better = data.assign(fid=20 - 10 * data["training.ema_decay"] + 0.01 * data["seed"])
    assert verdict("ema_weak", better).headline == "supported"
    worse = data.assign(fid=10 + 10 * data["training.ema_decay"] + 0.01 * data["seed"] + data["data.size"] / 1e4)
    assert verdict("ema_weak", worse).headline == "contradicted"


def test_the_slope_of_the_logistic_law_comes_back() -> None:
    runs = best(frame(grid(data__size=(500, 1000, 2000, 4000), seed=(0, 1, 2))))
    slope = size_slope(make_cells(runs))
    assert slope is not None
    assert slope.low < SLOPE < slope.high
    assert slope.high - slope.low < 1.0


def test_the_seed_spread_is_measured_where_there_are_repeats() -> None:
    many = frame(grid(data__size=SIZES, seed=tuple(range(20))), seed_spread=0.5)
    assert 0.38 < Runs.of(many).seed_spread.logit < 0.62
    single = Runs.of(frame(grid(data__size=SIZES))).seed_spread
    assert (single.logit, single.degrees) == (0.2, 0)
    assert "assumed" in str(single)


def test_two_lucky_seeds_do_not_remove_the_noise() -> None:
    runs = best(frame(grid(seed=(0, 1))))
    runs["memorization_ratio"] = 0.9
    assert seed_spread(runs).logit > 0.1


def test_intervals_cover_the_planted_effect() -> None:
    hits = 0
    for offset in range(20):
        trials = grid(model__width=(64, 128), data__size=SIZES, seed=(3 * offset, 3 * offset + 1))
        data = frame(trials, per("model.width", 1.0), seed_spread=0.2)
        effect = verdict_effect(data)
        hits += effect[0] <= math.log(2) <= effect[1]
    assert hits >= 17


def verdict_effect(data: pd.DataFrame) -> tuple[float, float]:
    from analysis.runs.effects import ln, trend

    effect = trend(make_cells(best(data)), "model.width", ln, "width")
    assert effect is not None
    return effect.low, effect.high
