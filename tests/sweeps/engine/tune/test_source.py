"""Tune gets each trial once, the interrupted ones first, and the journal says what happened."""

import pytest

from memo_core.experiment import Experiment
from memo_core.experiment.presets import LAPTOP, with_settings
from memo_core.results import experiment_id
from sweeps.engine.search.base import FINISHED
from sweeps.engine.search.journal import Begun, Journal, replay
from sweeps.engine.search.listed import ListedTrials
from sweeps.engine.tune.source import TrialSource, nested

TRIALS = [Experiment.from_flat(with_settings(LAPTOP, {"data.size": size})) for size in (4, 5, 6)]
FLATS = [trial.to_flat() for trial in TRIALS]
RESULT = {"best_memorization_ratio": 0.5, "images_seen": 100}
FAILED = {"failure": "failed", "cause": "no such file"}
DIVERGED = {"failure": "diverged", "cause": "the loss is nan", "images_seen": 50}


class Known:
    """Results by identity."""

    def __init__(self, results=None):
        self.results = dict(results or {})

    def result(self, experiment):
        return self.results.get(experiment_id(experiment))

    def add(self, trial_id, result):
        self.results[trial_id] = result


class Listener(ListedTrials):
    """The list, which keeps what it is told."""

    def __init__(self, trials):
        super().__init__(trials)
        self.told, self.full = [], []

    def suggest(self, key, full=False):
        self.full.append(full)
        return super().suggest(key, full)

    def complete(self, key, result):
        self.told.append((key, result))


@pytest.fixture
def start(tmp_path):
    """Start a run, or start it again; returns source, searcher and journal."""

    def begin(known=None, **limits):
        searcher, journal = Listener(TRIALS), Journal.read(str(tmp_path))
        replayed = replay(searcher, journal.events)
        assert replayed.events == journal.events
        searcher.told.clear()
        return TrialSource(searcher, journal, replayed, known or Known(), **limits), searcher, journal

    return begin


def events(journal):
    return [(event.key, event.event if isinstance(event, Begun) else event.status) for event in journal.events]


def test_a_run_begins_and_ends_each_trial_once_and_is_over_when_nothing_runs(start):
    source, searcher, journal = start()
    assert [source.suggest(name) for name in "abc"] == FLATS
    # The end of a trial that runs may yet change what is proposed.
    assert source.suggest("d") is None
    assert not source.finished
    for name in "cab":
        source.on_trial_complete(name, RESULT)
    assert source.suggest("d") == FINISHED
    assert source.finished
    assert searcher.told == [(key, RESULT) for key in "201"]
    assert events(journal) == [*((key, "begun") for key in "012"), *((key, "terminated") for key in "201")]


def test_interrupted_trials_come_first_and_keep_their_keys(start):
    source, *_ = start()
    for name in "ab":
        source.suggest(name)
    source.on_trial_complete("a", RESULT)
    # Its driver is killed; the trials of the next one have other names in Tune.
    source, searcher, journal = start(Known({experiment_id(FLATS[0]): RESULT}))
    assert [source.suggest(name) for name in "xy"] == FLATS[1:]
    source.on_trial_complete("x", RESULT)
    source.on_trial_complete("y", None, error=True)
    assert searcher.told == [("1", RESULT), ("2", None)]
    assert events(journal)[2:] == [("0", "terminated"), ("2", "begun"), ("1", "terminated"), ("2", "error")]


def test_an_interrupted_trial_that_is_over_after_all_is_told_and_not_trained(start):
    source, *_ = start()
    source.suggest("a")
    source, searcher, journal = start(Known({experiment_id(FLATS[0]): RESULT}))
    assert searcher.told == [("0", RESULT)]
    assert events(journal) == [("0", "begun"), ("0", "terminated")]
    assert source.suggest("x") == FLATS[1]


def test_known_trials_are_answered_at_once_and_journaled(start):
    known = Known({experiment_id(FLATS[0]): RESULT, experiment_id(FLATS[1]): DIVERGED})
    source, searcher, journal = start(known)
    assert source.suggest("a") == FLATS[2]
    assert searcher.told == [("0", RESULT), ("1", None)]
    assert events(journal) == [("0", "begun"), ("0", "terminated"), ("1", "begun"), ("1", "diverged"), ("2", "begun")]
    assert journal.events[3].cause == "the loss is nan"
    source.on_trial_complete("a", RESULT)
    # All of it is known now.
    source, *_ = start(known)
    assert source.suggest("x") == FINISHED


def test_a_trial_whose_results_got_lost_is_run_again_without_telling_the_searcher(start):
    source, *_ = start()
    for name in "abc":
        source.suggest(name)
    for name in "abc":
        source.on_trial_complete(name, RESULT)
    known = Known({experiment_id(flat): RESULT for flat in FLATS[1:]})
    source, searcher, journal = start(known)
    assert source.suggest("x") == FLATS[0]
    assert source.suggest("y") is None
    source.on_trial_complete("x", {**RESULT, "best_memorization_ratio": 0.6})
    assert source.suggest("y") == FINISHED
    assert searcher.told == []
    assert events(journal)[-1] == (None, "terminated")
    # The journal follows from the searcher as before, and the new end is the trial's.
    source, *_ = start(known)
    assert source.suggest("x") == FINISHED


def test_failed_trials_are_tried_again_by_the_next_start_alone(start):
    known = Known()
    source, searcher, journal = start(known)
    source.suggest("a")
    source.on_trial_complete("a", {"failure": "failed", "cause": "no such file"})
    source.suggest("b")
    source.on_trial_complete("b", None, error=True)
    assert searcher.told == [("0", None), ("1", None)]
    assert [event.cause for event in journal.events[1::2]] == ["no such file", "its process failed too often"]
    assert source.suggest("c") == FLATS[2]
    source.on_trial_complete("c", RESULT)
    assert source.suggest("d") == FINISHED
    # What a folder says of a failed trial is no result.
    source, searcher, journal = start(Known({experiment_id(FLATS[2]): RESULT}))
    assert [source.suggest(name) for name in "xy"] == FLATS[:2]
    source.on_trial_complete("x", RESULT)
    assert (searcher.told, events(journal)[-1]) == ([], (None, "terminated"))


def test_a_trial_that_fails_in_every_start_is_tried_again_by_each(start):
    source, *_ = start()
    source.suggest("a")
    source.on_trial_complete("a", FAILED)
    for _ in range(3):
        source, searcher, journal = start()
        assert source.suggest("a") == FLATS[0]
        source.on_trial_complete("a", FAILED)
        assert (searcher.told, events(journal)[-1]) == ([], (None, "error"))


def test_what_is_proposed_again_while_it_runs_is_not_run_twice(tmp_path):
    journal = Journal(str(tmp_path), [])
    searcher = Listener([TRIALS[0], TRIALS[0], TRIALS[1]])
    source = TrialSource(searcher, journal, replay(searcher, []), Known())
    assert [source.suggest(name) for name in "ab"] == FLATS[:2]
    # Its driver is killed, and the next one begins with both.
    searcher = Listener([TRIALS[0], TRIALS[0], TRIALS[1]])
    source = TrialSource(searcher, journal, replay(searcher, journal.events), Known())
    assert [source.suggest(name) for name in "ab"] == FLATS[:2]
    source.on_trial_complete("a", RESULT)
    assert searcher.told == [("0", RESULT), ("1", RESULT)]
    assert [event.key for event in journal.events if not isinstance(event, Begun)] == ["0", "1"]


def test_no_more_run_at_once_than_is_allowed(start):
    source, *_ = start(max_concurrent=2)
    assert [source.suggest(name) for name in "abc"] == [*FLATS[:2], None]
    source.on_trial_complete("a", RESULT)
    assert source.suggest("c") == FLATS[2]


def test_the_searcher_knows_whether_a_trial_would_wait(start):
    slots = [2]
    source, searcher, journal = start(slots=lambda: slots[0])
    for name in "abc":
        source.suggest(name)
    assert searcher.full == [False, False, True]
    assert [event.full for event in journal.events] == [False, False, True]


def test_records_come_back_as_the_trial_made_them():
    assert nested({"a": 1, "training/size": 4, "training/seed": 0}) == {"a": 1, "training": {"size": 4, "seed": 0}}


def one_training(experiment):
    """The first two of `FLATS` come out of one training."""
    return "shared" if experiment["data.size"] in (4, 5) else experiment_id(experiment)


def test_a_trial_waits_for_the_one_that_trains_for_it(start):
    source, _, journal = start(training=one_training)
    assert source.suggest("a") == FLATS[0]
    assert source.suggest("b") == FLATS[2]
    assert source.suggest("c") is None
    assert [event.key for event in journal.events] == ["0", "1", "2"]
    source.on_trial_complete("b", RESULT)
    assert source.suggest("c") is None
    source.on_trial_complete("a", RESULT)
    # Its results are there by now, which its own process finds.
    assert source.suggest("c") == FLATS[1]
    source.on_trial_complete("c", RESULT)
    assert source.suggest("d") == FINISHED


def test_of_interrupted_and_of_failed_trials_with_one_training_one_runs_at_a_time(start):
    source, *_ = start(training=one_training)
    assert [source.suggest(name) for name in "ab"] == [FLATS[0], FLATS[2]]
    # The driver is killed, and both trials of the shared training are begun.
    source, *_ = start(training=one_training)
    assert [source.suggest(name) for name in "abc"] == [FLATS[0], FLATS[2], None]
    source.on_trial_complete("a", FAILED)
    assert source.suggest("c") == FLATS[1]
    source.on_trial_complete("c", FAILED)
    source.on_trial_complete("b", RESULT)
    source, *_ = start(Known({experiment_id(FLATS[2]): RESULT}), training=one_training)
    assert [source.suggest(name) for name in "ab"] == [FLATS[0], None]
    source.on_trial_complete("a", RESULT)
    assert source.suggest("b") == FLATS[1]


def test_what_is_known_elsewhere_waits_while_another_trial_writes_its_folder(start):
    known = Known()
    source, *_ = start(known, training=one_training)
    assert source.suggest("a") == FLATS[0]
    known.results[experiment_id(FLATS[1])] = RESULT
    looked = []
    known.result = lambda experiment: looked.append(experiment) or known.results.get(experiment_id(experiment))
    assert source.suggest("b") == FLATS[2]
    assert FLATS[1] not in looked
    source.on_trial_complete("a", RESULT)
    source.on_trial_complete("b", RESULT)
    assert source.suggest("c") == FINISHED
