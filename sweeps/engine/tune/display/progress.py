"""One calm live display of a sweep: trials done, how far the running ones are, time left."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console
from rich.live import Live
from rich.text import Text

from sweeps.engine.plans.names import METRIC
from sweeps.engine.tune.display.board import Board
from sweeps.engine.tune.display.drawing import Sweep, done_prefix, progress_line, screen
from sweeps.engine.tune.display.time_left import TimeLeft, images_planned
from sweeps.engine.tune.display.trials import EarlierTrial, End, Identity, SweepTrials
from sweeps.engine.tune.scheduling.causes import cause_of

_REFRESH_SECONDS = 0.5
_PLAIN_SECONDS = 300.0


class LiveProgress(Callback):  # type: ignore[misc] # ray ships no types
    """Draws Tune's trials of this session and those that the run's folder had before.

    Where the output is not a terminal, one line is printed for each trial that ends, and at most every five minutes one
    that says how far the running trials are.
    """

    def __init__(
        self,
        name: str,
        varied: Sequence[str],
        total: int | None,
        target: float | None = None,
        *,
        run_path: str,
        folder: Callable[[Mapping[str, Any]], str],
        identity: Identity,
        earlier: Sequence[EarlierTrial] = (),
        total_images: int | None = None,
        along: Collection[str] = (),
        board: Board | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Draw a sweep.

        Args:
            name: of the sweep.
            varied: the settings that distinguish its trials.
            total: trials of the whole sweep, those from before this session among them; None where it is unknown.
            target: of an EMM search, the ratio that it looks for.
            run_path: the run's folder or URL.
            folder: the name of a trial's folder in it, by its flat experiment.
            identity: the identity of a trial, by its flat experiment; what its worker reports under to `board`.
            earlier: the trials that the run's folder had before this session.
            total_images: what the whole sweep trains on, where it is known; else estimated from the known trials.
            along: identities of trials that others train for, which train on no images of their own.
            board: where workers report how far they are; None shows evaluations alone.
            clock: seconds that run evenly.
        """
        self._name, self._varied, self._total, self._target = name, list(varied), total, target
        self._run_path, self._folder, self._total_images = run_path.rstrip("/"), folder, total_images
        self._identity, self._earlier, self._board, self._clock = identity, list(earlier), board, clock
        self._trials = SweepTrials(varied, identity, earlier, along)
        self._time_left = TimeLeft()
        self._started = self._drawn = self._printed = clock()
        self._console: Console | None = None
        self._live: Live | None = None

    def setup(self, **_: Any) -> None:
        """Open the display."""
        self._console = Console()
        self._started = self._printed = self._clock()
        ends = Counter(trial.end for trial in self._earlier)
        if ends["done"]:
            self._say(f"done already: {ends['done']}")
        for trial in self._earlier:
            if trial.end in ("failed", "diverged"):
                self._say_failure(trial.end, self._trials.title_of(trial.config), trial.config, trial.cause)
        if self._console.is_terminal:
            self._live = Live(Text("starting"), console=self._console, auto_refresh=False)
            self._live.start()

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Redraw, at most twice a second."""
        now = self._clock()
        if self._console is None or now - self._drawn < _REFRESH_SECONDS:
            return
        self._drawn = now
        sweep = self._sweep(trials, now)
        if self._live is not None:
            self._live.update(screen(sweep, self._console), refresh=True)
        elif now - self._printed >= _PLAIN_SECONDS:
            self._printed = now
            self._say(progress_line(sweep))

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note that a trial runs, perhaps again."""
        self._trials.start(trial)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say that a trial failed and will be tried again."""
        self._trials.fail(trial)
        self._say(f"to be restarted: {self._trials.title(trial)}, {_cause(trial)}")

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say how a trial ended."""
        result = trial.last_result or {}
        kind: End | None = result.get("failure")
        if kind is not None:
            # Tune has no error of it: the cause was reported.
            if self._trials.end(trial, kind):
                self._say_failure(kind, self._trials.title(trial), trial.config, result.get("cause"))
            return
        news = self._trials.end(trial, "done")
        if news and self._live is None and METRIC in result:
            prefix = done_prefix(self._trials.ends, self._total)
            self._say(f"{prefix}  {self._trials.title(trial)}  best memorization ratio {result[METRIC]:.3f}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say that a trial failed for good."""
        self._trials.end(trial, "failed")
        self._say_failure("failed", self._trials.title(trial), trial.config, _cause(trial))

    def on_experiment_end(self, trials: list[Trial], **_: Any) -> None:
        """Leave the last state on the screen."""
        if self._live is not None and self._console is not None:
            self._live.update(screen(self._sweep(trials, self._clock()), self._console), refresh=True)
        self.close()

    def close(self) -> None:
        """Give the terminal back, also where Tune was interrupted; closing twice changes nothing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _sweep(self, trials: list[Trial], now: float) -> Sweep:
        running = [self._trials.key(trial) for trial in trials if trial.status == Trial.RUNNING]
        positions = {} if self._board is None else self._board.positions(running)
        views = self._trials.views(trials, positions)
        planned = images_planned(views, self._total, self._total_images)
        trained = sum(view.images_seen - view.images_before for view in views)
        self._time_left.update(now, trained, planned - sum(view.images_seen for view in views))
        return Sweep(
            name=self._name,
            varied=self._varied,
            total=self._total,
            target=self._target,
            trials=views,
            planned=planned,
            elapsed=now - self._started,
            seconds_left=self._time_left.seconds(now),
        )

    def _say_failure(self, kind: End, title: str, config: Mapping[str, Any], cause: str | None) -> None:
        # A training that diverged has no traceback.
        log = f"; see {self._run_path}/{self._folder(config)}/error.txt" if kind == "failed" else ""
        why = (cause or "no cause was recorded").removeprefix(f"{kind} ")
        self._say(f"{kind}: {title}, {why}{log}")

    def _say(self, line: str) -> None:
        if self._console is not None:
            # A file has one line for each; a terminal breaks them between words.
            whole = not self._console.is_terminal
            self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=whole)


def _cause(trial: Trial) -> str:
    """Return in one line why Tune's trial failed last."""
    try:
        return cause_of(Path(trial.error_file).read_text(errors="replace"))
    except (OSError, TypeError):  # it has none, or the disk is full
        return "no cause was recorded"
