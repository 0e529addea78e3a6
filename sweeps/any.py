"""Any setting of an experiment as a factor: no file, no figure of the paper, otherwise as every sweep.

    python sweeps/any.py --key model.dropout --values 0 0.1 0.3 --sizes 10 20          # laptop: digits
    python sweeps/any.py --key model.dropout --values 0 0.1 0.3 --preset paper         # CIFAR-10, |D| = 1k and 2k
    python sweeps/any.py --key model.dropout --search optuna --set "model.dropout=range(0,0.5)"   # the extreme ratio

A factor that is studied for longer deserves a file, with its own studies, title and dependent settings: copy
`sweeps/weight_decay.py`.
"""

from collections.abc import Sequence

from memo_core.command_line import run
from memo_core.errors import MemosweepError
from memo_core.experiment import check_key, parse_value
from memo_core.experiment.presets import LAPTOP, PAPER
from memo_core.terminal import Parser
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study, absolute_value


def any_factor(key: str, texts: Sequence[str]) -> Factor:
    """Return the factor that compares values of a key.

    Args:
        key: dotted.
        texts: the values as typed; none where they come from a range.

    Raises:
        MemosweepError: no experiment has the key.
    """
    check_key(key)
    values = tuple(absolute_value(key, parse_value(key, text)) for text in texts)
    return Factor(
        name=key.rpartition(".")[2],
        key=key,
        paper=(Study("values", PAPER, values, sizes=(1000, 2000)),),
        laptop=(Study("values", LAPTOP, values, sizes=(10, 20)),),
    )


def _sweep() -> int:
    parser = Parser(add_help=False)
    parser.add_argument("--key", metavar="KEY", default=None)
    parser.add_argument("--values", nargs="+", default=[])
    options, rest = parser.parse_known_args()
    asks_for_help = bool({"-h", "--help"} & set(rest))
    if options.key is None and not asks_for_help:
        raise MemosweepError("--key is missing: the setting to vary, such as --key model.dropout")
    key = options.key or "model.dropout"
    searched = any(part.startswith(f"{key}=") for part in rest)
    if not (options.values or searched or "--resume" in rest or asks_for_help):
        raise MemosweepError(f"--values is missing: the values of {key} to compare")
    main(any_factor(key, options.values), __doc__, arguments=rest)


if __name__ == "__main__":
    raise SystemExit(run(_sweep))
