"""How fast each stage is, side by side with what else does it, in interleaved repeats; 10 minutes on 2 idle cores.

    python -m benchmarks                                   all parts, as tables
    python -m benchmarks --only step neighbors --repeats 3
    python -m benchmarks --write                           and into benchmarks/results/ and docs/performance.md

Ratios are formed round by round: median, smallest and largest. On a CPU the times are those that this process
computed, so that other programs count little; for trials, sweeps and trials side by side they are those of the clock
on the wall. Shares are of the speed of square matrix products in the same round; operations are counted by
torch.utils.flop_counter. On a GPU the sizes are those of the paper.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memo_core.command_line import parse_device, run
from memo_core.errors import MemosweepError, first_line
from memo_core.terminal import Parser, complain

if TYPE_CHECKING:
    from benchmarks.speed.comparison import Part
    from benchmarks.speed.machine import Machine, Sizes

PARTS = {
    "step": "training step: ours, the published kind of loop, diffusers",
    "sampling": "drawing images: ours, the network alone, diffusers",
    "neighbors": "nearest training images: ours, cdist + topk, faiss, the bare product",
    "trial": "where the time of a trial and of a sweep goes",
    "sharing": "1, 2 and 4 trials that share the machine",
    "growth": "cost of an image over width, depth and resolution",
}
_FOLDER = Path(__file__).parent
PAGE = _FOLDER.parent / "docs/performance.md"
_BEGIN, _END = "<!-- python -m benchmarks --write: from here -->", "<!-- to here -->"


def results_file(has_gpu: bool) -> Path:
    """Return where `--write` puts the numbers of a kind of device."""
    return _FOLDER / "results" / ("speed-gpu.json" if has_gpu else "speed.json")


def _measures() -> dict[str, "Callable[[Machine, Sizes], Part]"]:
    from benchmarks.speed.neighbors import measure_neighbors  # noqa: PLC0415 - seconds that --help should not take
    from benchmarks.speed.networks import measure_growth, measure_sampling, measure_steps  # noqa: PLC0415
    from benchmarks.speed.sharing import measure_sharing  # noqa: PLC0415
    from benchmarks.speed.trial import measure_trial  # noqa: PLC0415

    return {
        "step": measure_steps,
        "sampling": measure_sampling,
        "neighbors": measure_neighbors,
        "trial": measure_trial,
        "sharing": measure_sharing,
        "growth": measure_growth,
    }


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {name:10} {about}" for name, about in PARTS.items()),
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", default=list(PARTS),
                        help="some parts: " + ", ".join(PARTS))  # fmt: skip
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, metavar="N",
                        help="of a CPU (default: %(default)s, as a trial of a sweep has)")  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU when there is one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--write", action="store_true",
                        help="write the numbers to benchmarks/results/speed.json (speed-gpu.json) and, of a CPU, to "
                        "docs/performance.md; parts that were not measured stay as they are")  # fmt: skip
    return parser


def measure(options: argparse.Namespace, sizes: "Sizes | None" = None, turn_seconds: float = 0.5) -> int:
    """Measure the parts asked for; returns 1 where one failed.

    Args:
        options: of the command line.
        sizes: what is measured; by the device, where None.
        turn_seconds: of one contender in a round.

    Raises:
        MemosweepError: an option makes no sense.
    """
    for name in ("repeats", "threads"):
        if getattr(options, name) < 1:
            raise MemosweepError(f"--{name} {getattr(options, name)}: at least 1")
    device = parse_device(options.device)
    import torch  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    from benchmarks.speed.machine import CPU_SIZES, GPU_SIZES, Machine, load_average  # noqa: PLC0415
    from benchmarks.speed.tables import show, to_json  # noqa: PLC0415

    torch.set_num_threads(options.threads)
    sizes = sizes or (GPU_SIZES if device.type == "cuda" else CPU_SIZES)
    machine = Machine(device, options.threads, options.repeats, turn_seconds, sizes.matrix)
    report: dict[str, Any] = {"machine": machine.describe(), "parts": {}}
    complain(f"{report['machine']['device']}, load {' '.join(map(str, load_average()))}")
    measures, console, failed = _measures(), Console(), False
    for name in [name for name in PARTS if name in options.only]:
        complain(f"{name} ...")
        load, start = load_average(), time.perf_counter()
        try:
            part = measures[name](machine, sizes)
        # The other parts are measured still, whatever this one met.
        except Exception as error:
            complain(f"{name}: {type(error).__name__}: {first_line(error)}")
            failed = True
            continue
        seconds = round(time.perf_counter() - start, 1)
        report["parts"][name] = {"repeats": options.repeats, "load": load, "seconds": seconds, **to_json(part)}
        if not options.json:
            show(part, console)
        if options.write:
            write(report, results_file(machine.has_gpu), None if machine.has_gpu else PAGE)
    if options.json:
        print(json.dumps(report, indent=1))
    return int(failed)


def write(report: dict[str, Any], file: Path, page: Path | None) -> None:
    """Write the measured parts into the file, beside those of earlier runs on an equal machine, and into the page.

    Raises:
        MemosweepError: the page lacks its marks.
    """
    from benchmarks.speed.tables import to_markdown  # noqa: PLC0415

    before = json.loads(file.read_text()) if file.exists() else {}
    kept = before["parts"] if before.get("machine") == report["machine"] else {}
    parts = {**kept, **report["parts"]}
    whole = {**report, "parts": {name: parts[name] for name in PARTS if name in parts}}
    file.write_text(json.dumps(whole, indent=1) + "\n")
    if page is None:
        return
    head, begin, rest = page.read_text().partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise MemosweepError(f"{page}: lacks the lines {_BEGIN} and {_END}")
    page.write_text(f"{head}{begin}\n\n{to_markdown(whole)}\n{end}{tail}")


def main(arguments: Sequence[str] | None = None, sizes: "Sizes | None" = None, turn_seconds: float = 0.5) -> int:
    """The command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    return run(lambda: measure(options, sizes, turn_seconds))


if __name__ == "__main__":
    sys.exit(main())
