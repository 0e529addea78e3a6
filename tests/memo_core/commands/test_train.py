import os
import signal
import threading
import time

import pytest

from memo_core.command_line import parse_duration
from memo_core.commands import main
from memo_core.commands.interruption import Interruption
from memo_core.errors import MemosweepError
from memo_core.results import TIMES
from memo_core.training.saving.checkpoint import read_checkpoint

SETTINGS = [
    part
    for setting in (
        "data.size=10", "model.width=8", "model.depth=1", "model.channel_multipliers=[1,1]", "training.images=96",
        "training.batch_size=16", "evaluation.count=2", "evaluation.num_samples=4", "evaluation.steps=3",
    )
    for part in ("--set", setting)
]  # fmt: skip


@pytest.fixture(autouse=True)
def sigint():
    """Ctrl-C as at a terminal: test runners in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def train(folder, *options):
    return main(["train", *SETTINGS, "--out", str(folder), "--device", "cpu", *options])


def rows_of(folder):
    rows = read_checkpoint(folder / "checkpoint.pt")["rows"]
    times = ("images_per_second", *TIMES)
    return [{key: value for key, value in row.items() if key not in times} for row in rows]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10min", 600), ("2h", 7200), (" 1.5 h ", 5400), ("0.5s", 0.5), ("7d", 604_800)]
)
def test_durations(text, seconds):
    assert parse_duration(text, "--checkpoint-every") == seconds


@pytest.mark.parametrize("text", ["", "10", "min", "0s", "-1h", "10 years", "nan s", "1e3s", "9999999d", "1h30min"])
def test_what_is_not_a_duration_is_refused_with_examples(text):
    with pytest.raises(MemosweepError, match=r"--time-budget .*: expected a time above 0 .* such as 90s, 10min or 2h"):
        parse_duration(text, "--time-budget")


def test_the_precision_that_was_measured_is_named_at_every_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("memo_core.training.precision.has_bfloat16", lambda: True)
    monkeypatch.setattr(
        "memo_core.training.precision._seconds_a_step", lambda *given: 1 if given[3] == "float32" else 2
    )
    auto = ("--set", "training.precision=auto")
    assert train(tmp_path / "run", *auto) == 0
    assert "note: training.precision = auto: float32 (a step takes 1e+03 ms in float32" in capsys.readouterr().err
    assert train(tmp_path / "run", *auto, "--resume") == 0
    assert "note: training.precision = auto: float32, as this training began" in capsys.readouterr().err


@pytest.mark.parametrize("native", [False, True])
def test_a_precision_that_the_processor_emulates_is_warned_of_at_the_start(native, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("memo_core.model.precision.has_bfloat16", lambda: native)
    assert train(tmp_path / "run", "--set", "training.precision=bfloat16") == 0
    warned = "note: training.precision = bfloat16: this processor has no instructions for it"
    assert capsys.readouterr().err.startswith(warned) == (not native)


def test_the_one_before_is_used_where_the_newest_is_damaged_and_it_is_said(tmp_path, capsys):
    assert train(tmp_path / "whole") == 0
    assert train(tmp_path / "run") == 0
    assert sorted(file.name for file in (tmp_path / "run/previous").iterdir()) == [
        "best.npz", "checkpoint.pt", "checkpoint.sha256"
    ]  # fmt: skip
    content = (tmp_path / "run/checkpoint.pt").read_bytes()
    (tmp_path / "run/checkpoint.pt").write_bytes(content[:-1])
    capsys.readouterr()
    assert train(tmp_path / "run", "--resume") == 0
    assert "note: run: damaged (checkpoint.pt: damaged" in capsys.readouterr().err
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def test_other_images_behind_the_same_path_are_refused(tmp_path, capsys, monkeypatch):
    assert train(tmp_path) == 0
    from memo_core.data import training_set

    original = training_set._stack
    monkeypatch.setattr(training_set, "_stack", lambda *arguments: original(*arguments) // 2)
    capsys.readouterr()
    assert train(tmp_path, "--resume") == 2
    error = capsys.readouterr().err
    assert "trained on other images than digits holds now" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "typed", "way"),
    [
        (signal.SIGTERM, (), "the same command with --resume goes on"),
        (signal.SIGINT, ("--auto-resume",), "the same command goes on"),
    ],
)
def test_an_interrupted_training_is_saved_and_goes_on_to_the_same_numbers(tmp_path, capsys, number, typed, way):
    longer = ["--set", "training.images=640"]

    def interrupt():
        while not (tmp_path / "run/previous").exists():
            time.sleep(0.005)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert train(tmp_path / "run", *longer, "--checkpoint-every", "0.001s", *typed) == 130
    thread.join()
    seen = read_checkpoint(tmp_path / "run/checkpoint.pt")["images_seen"]
    assert 32 <= seen < 640
    assert capsys.readouterr().err == f"interrupted: saved at {seen:,} images seen, {way}\n"
    assert train(tmp_path / "run", *longer, *(typed or ["--resume"])) == 0
    assert train(tmp_path / "whole", *longer) == 0
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


def test_a_request_waits_for_the_step_a_second_one_does_not():
    interruption = Interruption()
    interruption.is_deferred = lambda: True
    before = signal.getsignal(signal.SIGTERM)
    with interruption.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.is_requested
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.alarm(0) > 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_threads_leave_signals_alone():
    entered, before = [], signal.getsignal(signal.SIGTERM)

    def work():
        with Interruption().listening():
            entered.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [before]
