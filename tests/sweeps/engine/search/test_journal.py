"""A searcher is rebuilt from the journal, however much of it is left."""

import pytest

from analysis.emm.search.search import Search
from memo_core.errors import MemosweepError
from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, with_settings
from memo_core.results import experiment_id
from sweeps.engine.plans.ranges import Range
from sweeps.engine.search.emm import EMMSearcher
from sweeps.engine.search.journal import Begun, Ended, Journal, ended, replay
from sweeps.engine.search.listed import ListedTrials
from sweeps.engine.search.optuna import OptunaExperimentSearch

BASE = Experiment.from_flat(with_settings(LAPTOP, {})).to_flat()


def listed():
    return ListedTrials([Experiment.from_flat(with_settings(LAPTOP, {"data.size": size})) for size in (4, 5, 6, 7)])


def emm():
    return EMMSearcher(
        Search(["a", "b"], 4, 100, num_samples=256),
        {name: {**BASE, "model.width": w} for name, w in (("a", 8), ("b", 16))},
    )


def optuna():
    space = {"training.learning_rate": Range(low=1e-4, high=1e-2, log=True)}
    return OptunaExperimentSearch(space, lambda values: Experiment.from_flat(with_settings(LAPTOP, values)), "max", 9)


def result(trial):
    """What a trial reports at its end: few images are memorized."""
    ratio = 1.0 if trial["data.size"] < 20 else 0.0
    training = {"size": trial["data.size"], "seed": trial["seed"], "ratio": ratio, "num_samples": 256,
                "stopped_early": False, "fraction": 1.0}  # fmt: skip
    return {"best_memorization_ratio": ratio, "images_seen": 100, "training": training, "loss": 0.5}


def play(searcher, journal, steps):
    """Two trials at once, of which the older one ends first; returns those that are under way."""
    live = []
    for _ in range(steps):
        while len(live) < 2:
            begun_before = sum(isinstance(event, Begun) for event in journal.events)
            trial = searcher.suggest(str(begun_before))
            if not isinstance(trial, dict):
                break
            begun = Begun(key=str(begun_before), trial_id=experiment_id(trial))
            journal.append(begun)
            live.append((begun, trial))
        if not live:
            break
        begun, trial = live.pop(0)
        event = ended(begun, result(trial))
        journal.append(event)
        searcher.complete(begun.key, event.result)
    return live


@pytest.mark.parametrize("make", [listed, emm, optuna])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_replayed_searcher_proposes_what_it_would_have_proposed(make, steps, tmp_path):
    searcher, journal = make(), Journal(str(tmp_path), [])
    live = play(searcher, journal, steps)
    again = make()
    replayed = replay(again, Journal.read(str(tmp_path)).events)
    assert replayed.events == journal.events
    assert list(replayed.live.values()) == live
    assert len(replayed.ended) == steps
    assert again.suggest("next") == searcher.suggest("next")


def test_a_journal_counts_up_to_its_first_damaged_line(tmp_path):
    journal = Journal(str(tmp_path), [])
    play(optuna(), journal, 3)
    file = tmp_path / "trials.jsonl"
    whole = file.read_text().splitlines()
    file.write_text("\n".join([*whole[:4], whole[4][:20], *whole[5:]]))
    assert Journal.read(str(tmp_path)).events == journal.events[:4]
    file.write_bytes(b"\xff\xfe" + file.read_bytes())
    assert Journal.read(str(tmp_path)).events == []


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text[:-1], lambda text: text + "{"])
def test_a_damaged_journal_is_written_anew_before_it_goes_on(damage, tmp_path):
    file = tmp_path / "trials.jsonl"
    journal = Journal.read(str(tmp_path))
    for key in ("0", "1"):
        journal.append(Begun(key=key, trial_id="0" * 12))
    file.write_text(damage(file.read_text()))
    damaged = Journal.read(str(tmp_path))
    damaged.write()
    damaged.append(Begun(key="2", trial_id="0" * 12))
    assert [event.key for event in Journal.read(str(tmp_path)).events] == [*(e.key for e in damaged.events)]
    assert damaged.events[-1].key == "2"


def test_what_does_not_follow_is_dropped_and_the_searchers_own_proposal_stands(tmp_path):
    journal = Journal(str(tmp_path), [])
    play(listed(), journal, 2)
    strange = journal.events[3].model_copy(update={"trial_id": "0123456789ab"})
    replayed = replay(listed(), [*journal.events[:3], strange, *journal.events[4:]])
    assert replayed.events == journal.events[:4]
    assert replayed.events[3].key in replayed.live
    end = Ended(key="9", trial_id="0123456789ab", status="error", cause="lost")
    assert replay(listed(), [end]).events == []


@pytest.mark.parametrize(
    ("report", "status", "cause"),
    [
        ({"best_memorization_ratio": 0.5, "images_seen": 8}, "terminated", None),
        ({"failure": "diverged", "cause": "the loss is nan"}, "diverged", "the loss is nan"),
        ({"failure": "failed", "cause": "no such file"}, "error", "no such file"),
        (None, "error", "killed"),
    ],
)
def test_the_end_of_a_trial(report, status, cause):
    event = ended(Begun(key="0", trial_id="0123456789ab"), report, "killed")
    assert (event.status, event.cause) == (status, cause)
    assert event.result == (report if status == "terminated" else None)


def test_a_journal_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "trials.jsonl").mkdir()
    with pytest.raises(MemosweepError, match="trials.jsonl: cannot be written".replace(".", r"\.")):
        Journal(str(tmp_path), []).append(Begun(key="0", trial_id="0123456789ab"))


def test_a_journal_behind_a_url(tmp_path):
    url = f"memory://{tmp_path}/run"
    journal = Journal(url, [])
    play(listed(), journal, 2)
    journal.write()
    assert Journal.read(url).events == journal.events
