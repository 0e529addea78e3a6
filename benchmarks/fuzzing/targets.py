"""What is damaged, and with which commands it is then read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzzing import containers
from benchmarks.fuzzing.corruption import Random
from benchmarks.fuzzing.seeds import OTHER_RUN, RUN, SEARCHES, settings

Command = tuple[str, ...]
"""A program (`memo_core`, `analysis`, `resume`, `attempt`) and its arguments; `{}` stands for the working folder."""


@dataclass(frozen=True)
class Target:
    """One kind of file."""

    name: str
    group: str
    """Folder of the seed files, which is copied for each run."""
    files: tuple[str, ...]
    """Patterns of the files inside it, of which one is damaged at a time."""
    inside: Callable[[bytes, Random], bytes]
    """Damages what such a file holds."""
    commands: tuple[Command, ...]
    """One after the other, run by run; `{file}` stands for the damaged file."""

    def file(self, folder: Path, index: int) -> Path:
        """The file that run `index` damages."""
        found = [file for pattern in self.files for file in sorted(folder.glob(pattern))]
        return found[index // len(self.commands) % len(found)]

    def command(self, folder: Path, file: Path, index: int) -> list[str]:
        """The command of run `index`."""
        parts = self.commands[index % len(self.commands)]
        return [part.replace("{file}", str(file)).replace("{}", str(folder)) for part in parts]


_DATA = ("--preset", "laptop", "--set", "data.dataset={file}", "--set", "data.size=6")
_IMAGE_COMMANDS: tuple[Command, ...] = (
    ("memo_core", "measure", "--training", "{file}", "--generated", "{}/other.npz", "--json"),
    ("memo_core", "measure", "--training", "{}/other.npz", "--generated", "{file}"),
    ("memo_core", "data", *_DATA),
    ("memo_core", "data", *_DATA, "--set", "data.labels=true", "--set", "data.classes=3", "--json"),
)
_SNAPSHOT_COMMANDS: tuple[Command, ...] = (
    ("memo_core", "sample", "--snapshot", "{file}", "--seeds", "0-1", "--steps", "2", "--out", "{}/out.npz"),
    ("memo_core", "export", "--snapshot", "{file}", "--out", "{}/out.safetensors"),
)
_RESUME: Command = ("memo_core", "train", "--resume", "--out", "{}", *settings())
_RUN = f"{{}}/{RUN}"
_LIGHT_COMMANDS: tuple[Command, ...] = (
    ("analysis", "table", _RUN, "--no-cache"),
    ("analysis", "emm", _RUN, "--no-cache"),
    ("analysis", "table", _RUN, "--no-cache"),
    ("analysis", "importance", _RUN, "--no-cache"),
    ("analysis", "table", _RUN, "--no-cache"),
    ("analysis", "predict", _RUN, "--no-cache", "--set", "data.size=8", "--set", "training.weight_decay=0"),
    ("analysis", "compare", f"{{}}/{OTHER_RUN}", _RUN, "--no-cache"),
)
_HEAVY_COMMANDS: tuple[Command, ...] = (
    ("analysis", "figures", _RUN, "--no-cache", "--out", "{}/figures"),
    ("analysis", "report", _RUN, "--no-cache", "--out", "{}/report.html"),
)
_COVERAGE: Command = ("analysis", "table", _RUN, "--no-cache", "--table", "coverage")
_SAMPLES_COMMANDS = (*(_COVERAGE for _ in range(14)), *_HEAVY_COMMANDS)
_ANALYSIS_COMMANDS = (*_LIGHT_COMMANDS, *_LIGHT_COMMANDS, *_HEAVY_COMMANDS)

TARGETS: tuple[Target, ...] = (
    Target("image zip", "images", ("set.zip",), containers.damage_zip, _IMAGE_COMMANDS),
    Target(".npz of images", "images", ("set.npz",), containers.damage_zip, _IMAGE_COMMANDS),
    Target(".npz of arr_0", "images", ("arr0.npz",), containers.damage_zip, _IMAGE_COMMANDS[:3]),
    Target("EDM pickle", "snapshots", ("*.pkl",), containers.damage_edm_pickle, _SNAPSHOT_COMMANDS),
    Target("safetensors", "snapshots", ("*.safetensors",), containers.damage_safetensors, _SNAPSHOT_COMMANDS),
    Target(
        "safetensors' JSON",
        "snapshots",
        ("*.json",),
        containers.damage_json_file,
        tuple(
            tuple(part.replace("{file}", "{}/net.safetensors") for part in command) for command in _SNAPSHOT_COMMANDS
        ),
    ),
    Target(
        "checkpoint.pt", "training", ("checkpoint.pt",), containers.damage_checkpoint, (_RESUME, *_SNAPSHOT_COMMANDS)
    ),
    Target("best.npz, resumed", "training", ("best.npz",), containers.damage_zip, (_RESUME,)),
    Target(
        "best.npz, analyzed",
        "results",
        (f"{RUN}/*/checkpoint_000000000096/best.npz",),
        containers.damage_zip,
        _SAMPLES_COMMANDS,
    ),
    Target("result.json", "results", (f"{RUN}/*/result.json",), containers.damage_json_lines_file, _ANALYSIS_COMMANDS),
    Target("sweep.json, analyzed", "results", (f"{RUN}/sweep.json",), containers.damage_json_file, _ANALYSIS_COMMANDS),
    Target(
        "sweep.json, resumed",
        "searches",
        tuple(f"{search}/sweep.json" for search in SEARCHES),
        containers.damage_json_file,
        (("resume", "{file}"),),
    ),
    Target(
        "trials.jsonl",
        "results",
        (f"{RUN}/trials.jsonl",),
        containers.damage_json_lines_file,
        (("resume", "{file}"), *_LIGHT_COMMANDS),
    ),
    Target(
        "a trial's newest checkpoint",
        "trial",
        ("*/checkpoint_000000000064/checkpoint.pt",),
        containers.damage_checkpoint,
        (("attempt", "{file}"),),
    ),
    Target(
        "cache of the analysis",
        "results",
        (f"{RUN}/.memosweep-cache.parquet",),
        containers.damage_cache,
        (("analysis", "table", _RUN), ("analysis", "emm", _RUN)),
    ),
)
