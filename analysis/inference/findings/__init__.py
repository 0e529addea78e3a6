"""The paper's 19 findings, each with a stated test of the data.

How noise enters. A ratio of n samples has binomial noise, and another training seed would have given another
ratio: both are part of every interval. The spread between seeds comes from the runs' own repeats, beside an
assumed 0.2 in logits (0.03 to 0.05 in the ratio, measured on small models) that counts as two degrees of
freedom; with one seed per setting it is the assumption alone, and the verdicts say so. Effects are differences
between runs that are equal in all other settings, pooled over the settings at which both were run. Verdicts are
at 95% each: of twenty, one may be wrong by chance. Runs that are not finished are left out, and so are those that were
stopped early as they would not reach a target; those that were stopped on reaching it count with the ratio that they
had, a lower bound of the final one. Runs of the closed-form optimum, on which no setting has an effect, answer the
first finding alone. Trials that had not begun to memorize (`analysis.runs.final.still_learning`) are no evidence.
"""

import csv
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.resources import files

from analysis.inference.findings import data_findings, measure_findings, model_findings, training_findings
from analysis.inference.findings.data_findings import size_slope
from analysis.inference.findings.verdict import Question, Verdict, decide
from analysis.runs.effects import Cells, Effect, make_cells
from analysis.runs.runs import Runs
from analysis.runs.seeds import SeedSpread
from memo_core.errors import plural

__all__ = ["Effect", "Question", "SeedSpread", "Verdict", "size_slope", "verdicts"]

Test = Callable[[Cells, Runs], list[Question]]

_PAIR = "at two sizes or with two seeds"

TESTS: dict[str, tuple[Test, str]] = {
    "optimum_replicates": (data_findings.optimum_replicates, "100 samples of the optimal denoiser"),
    "smaller_data_memorizes": (data_findings.smaller_data_memorizes, "four runs over two sizes, two looks at each"),
    "lower_resolution_memorizes": (data_findings.lower_resolution_memorizes, f"two resolutions {_PAIR}"),
    "class_diversity_weak": (data_findings.class_diversity_weak, f"two numbers of classes {_PAIR}"),
    "intra_class_diversity_weak": (data_findings.intra_class_diversity_weak, f"two blend ratios {_PAIR}"),
    "width_monotonic": (model_findings.width_monotonic, f"two widths {_PAIR}"),
    "depth_non_monotonic": (model_findings.depth_non_monotonic, f"three depths {_PAIR}"),
    "fourier_embedding_lowers": (model_findings.fourier_embedding_lowers, f"both time embeddings {_PAIR}"),
    "high_resolution_skips_matter": (model_findings.high_resolution_skips_matter, f"three skip masks {_PAIR}"),
    "ncsnpp_below_ddpmpp": (model_findings.ncsnpp_below_ddpmpp, f"both architectures {_PAIR}"),
    "batch_size_raises": (training_findings.batch_size_raises, f"two batch sizes {_PAIR}"),
    "weight_decay_cliff": (training_findings.weight_decay_cliff, f"0, up to 1e-3 and 1e-2 or more {_PAIR}"),
    "ema_weak": (training_findings.ema_weak, f"two EMA decays {_PAIR}"),
    "conditioning_raises": (training_findings.conditioning_raises, f"no, true and 10 random labels {_PAIR}"),
    "random_classes_raise": (training_findings.random_classes_raise, f"two numbers of random labels {_PAIR}"),
    "unique_labels_trigger": (training_findings.unique_labels_trigger, f"no and unique labels {_PAIR}"),
    "text_class_prompts_raise": (training_findings.text_class_prompts_raise, "fine-tuned text-to-image models"),
    "ten_thousand_samples_enough": (
        measure_findings.ten_thousand_samples_enough,
        "10,000 samples, and three seeds of a setting",
    ),
    "zeta_ordering_stable": (measure_findings.zeta_ordering_stable, "three settings with EMMs at both zetas"),
}
"""By id of `paper/findings.csv`: the test, and the least data that can decide."""


def published() -> list[dict[str, str]]:
    """The rows of `paper/findings.csv`: id, source, claim."""
    text = files("analysis").joinpath("paper/findings.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def verdicts(runs: Runs, ids: Collection[str] | None = None) -> list[Verdict]:
    """Return what some runs say on each of the paper's findings.

    Args:
        runs: of any number of sweeps.
        ids: of the requested findings; all where not given.

    Returns:
        One verdict per finding, in the paper's order.
    """
    usable = runs.evidence
    trained = usable.networks
    cells = make_cells(trained.best, runs.seed_spread) if len(usable.best) else None
    none = "none had begun to memorize" if len(runs.finished.best) else "there is none"
    answers = []
    for row in published():
        if ids is not None and row["id"] not in ids:
            continue
        test, needs = TESTS[row["id"]]
        questions: tuple[Question, ...] = (Question("any finished run", "open", None, none),)
        if cells is not None:
            questions = tuple(test(cells, usable if test is data_findings.optimum_replicates else trained))
            if any(question.missing for question in questions) and len(usable.best) < len(runs.finished.best):
                questions = _with_left_out(questions, test, runs)
        answers.append(Verdict(row["id"], row["source"], row["claim"], decide(questions), questions, needs))
    return answers


def _with_left_out(questions: Sequence[Question], test: Test, runs: Runs) -> tuple[Question, ...]:
    """Say of questions that lack runs where those are there, but had not begun to memorize."""
    finished = runs.finished.networks
    left_out = len(runs.finished.best) - len(runs.evidence.best)
    why = f"{left_out} of {plural(len(runs.finished.best), 'finished trial')} had not begun to memorize: no evidence"
    with_all = test(make_cells(finished.best, runs.seed_spread), finished)
    return tuple(
        replace(question, missing=f"{question.missing} ({why})") if _is_answered(question, with_all) else question
        for question in questions
    )


def _is_answered(question: Question, others: Sequence[Question]) -> bool:
    """Whether a question that lacks runs has some among others."""
    return bool(question.missing) and any(
        other.asks.startswith(question.asks) and other.missing != question.missing for other in others
    )
