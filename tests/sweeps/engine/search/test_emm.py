"""The searcher between Tune and the search: it ends with an answer for every value, whatever the order of results."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy import special

from analysis.emm.search.search import Proposal, Search, Training
from benchmarks.curves import unfriendly
from sweeps.engine.search.base import FINISHED
from sweeps.engine.search.emm import EMMSearcher

CURVES = unfriendly()


def reported(experiment, ratio):
    """The last report of a trial that trained to its end, as Tune passes it on."""
    training = Training(experiment["data.size"], experiment["seed"], ratio, experiment["evaluation.num_samples"])
    return {"stopped_early": False, "training": asdict(training)}


def run(curve, seed, slots=4, spread=0.08):
    """Plays Tune: `slots` trials at once that end in random order; FINISHED is taken for good, as Tune does."""
    rng = np.random.default_rng(seed)
    searcher = EMMSearcher(Search(["a", "b"], 100, 50_000), {"a": {"model.width": 8}, "b": {"model.width": 16}})
    live: dict[str, dict] = {}
    started, finished = 0, False
    while True:
        while not finished and len(live) < slots:
            suggestion = searcher.suggest(f"trial-{started}")
            if suggestion is None:
                break
            if suggestion == FINISHED:
                finished = True
                break
            live[f"trial-{started}"] = suggestion
            started += 1
        if not live:
            return searcher.search
        trial = list(live)[int(rng.integers(len(live)))]
        experiment = live.pop(trial)
        final = special.logit(np.clip(curve.ratio(experiment["data.size"]), 1e-9, 1 - 1e-9))
        samples = experiment["evaluation.num_samples"]
        ratio = rng.binomial(samples, special.expit(final + spread * rng.standard_normal())) / samples
        searcher.complete(
            trial,
            reported(experiment, ratio),
        )


@pytest.mark.parametrize("name", ["saturates at 0.95", "non-monotone", "cliff 0.99 to 0.01"])
@pytest.mark.parametrize("seed", range(4))
def test_every_value_has_its_answer_when_tune_is_told_that_the_search_is_over(name, seed):
    assert all(found.finished for found in run(CURVES[name], seed).estimates())


def test_it_is_not_over_while_a_trial_runs():
    searcher = EMMSearcher(Search(["a"], 100, 100), {"a": {}})
    assert searcher.suggest("one")["data.size"] == 100
    searcher.search.observe(Proposal(99, "a", 100, 1, 10_000), 0.1)
    assert searcher.search.finished
    assert searcher.suggest("two") is None
    searcher.complete("one", None)
    assert searcher.suggest("two") == FINISHED


def test_a_full_cluster_is_not_asked_a_second_question_before_the_first_is_answered():
    searcher = EMMSearcher(Search(["a", "b", "c"], 100, 50_000), {name: {} for name in "abc"})
    first = [searcher.suggest(name) for name in ("one", "two")]
    assert all(first)
    # Tune asks for one trial ahead: a value without any training may queue, a second size of one may not.
    assert searcher.suggest("three", full=True) is not None
    assert searcher.suggest("four", full=True) is None
    for name, experiment in zip(("one", "two"), first, strict=True):
        searcher.complete(name, reported(experiment, 0.1))
    assert searcher.suggest("five")["data.size"] < first[0]["data.size"]


def test_free_slots_may_train_two_sizes_of_a_value():
    searcher = EMMSearcher(Search(["a"], 100, 50_000), {"a": {}})
    sizes = [searcher.suggest(name)["data.size"] for name in ("one", "two")]
    assert len(set(sizes)) == 2
    assert searcher.suggest("three", full=True) is None


@pytest.mark.parametrize("diverges", [lambda size: True, lambda size: size > 2000, lambda size: size % 2 == 0])
def test_a_training_that_diverged_is_no_evidence_and_no_training_is_repeated(diverges):
    searcher = EMMSearcher(Search(["a"], 100, 50_000), {"a": {}})
    asked = []
    while isinstance(trial := searcher.suggest(str(len(asked))), dict):
        size = trial["data.size"]
        point = (size, trial["seed"], trial["evaluation.num_samples"])
        assert point not in asked
        ratio = float(special.expit(3 * np.log(1100 / size)))
        whole = reported(trial, ratio)
        searcher.complete(str(len(asked)), None if diverges(size) else whole)
        asked.append(point)
    assert searcher.search.finished
    trainings = searcher.search.trainings("a")
    assert {t.size for t in trainings}.isdisjoint({size for size, *_ in asked if diverges(size)})
    assert len(trainings) == sum(not diverges(size) for size, *_ in asked)
