"""What ends a sweep's command line before its trials start, and behind them."""

import os
import signal

import pytest

from sweeps.engine import command
from sweeps.width import FACTOR


def test_a_polite_kill_outside_of_training_ends_like_ctrl_c(monkeypatch, capsys):
    def terminated(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command, "_checked", terminated)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        command.main(FACTOR, None, arguments=[])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGTERM) == before
