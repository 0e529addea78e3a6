"""How the user goes on with a run that was interrupted."""

import argparse
import shlex
from dataclasses import dataclass

from sweeps.engine.plans.names import STORAGE


@dataclass(frozen=True)
class GoingOn:
    """What to type to go on with a run, in the way in which it was started."""

    is_same_command: bool = False
    """The command has `--auto-resume`."""
    storage: str = STORAGE
    """As typed."""

    @classmethod
    def of(cls, options: argparse.Namespace) -> "GoingOn":
        """Return how a start with these options is gone on with."""
        return cls(bool(options.auto_resume), str(options.storage_path))

    def command(self, name: str) -> str:
        """Return it for the run of this name, to stand in a sentence."""
        if self.is_same_command:
            return "the same command"
        place = "" if self.storage == STORAGE else f" --storage-path {shlex.quote(self.storage)}"
        return f"--resume --name {shlex.quote(name)}{place}"
