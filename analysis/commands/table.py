"""`python -m analysis table PATH...`."""

import argparse

from analysis.commands.reading import add_paths, read_final_runs, write_text
from analysis.runs.runs import Runs
from analysis.tables.paper import NUMBERS, paper_table, write_paper_table
from analysis.tables.table import Table
from analysis.tables.trials import best_table, factor_table, replication_table, trials_table
from analysis.tables.writers import FORMATS, write
from memo_core.errors import MemosweepError

TABLES = {
    "factor": "every experiment with its interval",
    "trials": "every trial at its best evaluation",
    "effects": "what each setting does to the ratio",
    "findings": "the paper's claims with their verdicts",
    "coverage": "which share of the training set each trial replicates, and how unevenly",
    "prompts": "of fine-tuned pipelines, which prompts give replicas, and of which training images",
    "time": "how the time to memorize grows with |D|",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `table`."""
    add_paths(parser)
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in TABLES.items())
    parser.add_argument("--table", choices=[*map(str, NUMBERS), *TABLES], metavar="NAME",
                        help=f"1 to 8: a table of the paper, ours (published, difference); {meanings}; without: best "
                        "ratios by what varies")  # fmt: skip
    parser.add_argument("--all", action="store_true",
                        help="with --table findings: also the findings that these runs cannot test")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--out", metavar="FILE", help="write there instead of printing")


def run(arguments: argparse.Namespace) -> int:
    """Print or write one table."""
    if arguments.all and arguments.table != "findings":
        raise MemosweepError("--all belongs to --table findings")
    runs = read_final_runs(arguments)
    if arguments.table in map(str, NUMBERS):
        text = write_paper_table(paper_table(int(arguments.table), runs), arguments.format)
    else:
        text = write(_table(arguments.table, runs, arguments.all), arguments.format)
    write_text(text, arguments.out)
    return 0


def _table(name: str | None, runs: Runs, whole: bool) -> Table:
    """One of `TABLES`; what only one of them needs is imported for it, as it takes a while."""
    match name:
        case "factor":
            return factor_table(runs)
        case "trials":
            return trials_table(runs)
        case "effects":
            from analysis.inference.main_effects import contrasts  # noqa: PLC0415
            from analysis.runs.effects import make_cells  # noqa: PLC0415
            from analysis.tables.effects import effects_table  # noqa: PLC0415

            return effects_table(*contrasts(make_cells(runs.evidence.networks.best, runs.seed_spread)))
        case "findings":
            from analysis.inference.findings import verdicts  # noqa: PLC0415
            from analysis.tables.findings import findings_table  # noqa: PLC0415

            return findings_table(verdicts(runs), whole)
        case "coverage":
            return replication_table(runs)
        case "prompts":
            from analysis.tables.prompts import prompts_table  # noqa: PLC0415

            return prompts_table(runs)
        case "time":
            from analysis.tables.effects import memorization_time_table  # noqa: PLC0415

            return memorization_time_table(runs)
    return best_table(runs)
