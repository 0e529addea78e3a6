"""EMM by search over any factor: a few trainings a value with an error bar, instead of a grid of sizes.

The paper trains on a grid of sizes and interpolates: at width 128 it trains 15.5k images (times 40,000 epochs) for
an EMM near 1.1k. The search trains where it learns most, ends trainings whose result is clear, and ends when the
95% interval of every value is narrow enough: after three to six trainings where ratios fall as the paper's do, up to
nine with the laptop's small sets, whose ratios scatter more.

    python sweeps/emm.py --factor width                                  # laptop: digits, about 10 minutes
    python sweeps/emm.py --factor width --preset paper --figure 3a       # CIFAR-10
    python sweeps/emm.py --factor width --tolerance 0.05 --protocol paper

It is the same as `python sweeps/FACTOR.py --search bisect`.
"""

import importlib
from pathlib import Path

from memo_core.terminal import Parser
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor

HERE = Path(__file__).stem


def factor_names() -> list[str]:
    """The factors that can be searched: every script beside this one but the optimum, which has no EMM."""
    scripts = {file.stem for file in Path(__file__).parent.glob("*.py")}
    return sorted(scripts - {"__init__", HERE, "any", "optimum"})


def load_factor(name: str) -> Factor:
    """The factor that a sweep script names."""
    factor: Factor = importlib.import_module(f"sweeps.{name}").FACTOR
    return factor


if __name__ == "__main__":
    parser = Parser(add_help=False)
    parser.add_argument("--factor", choices=factor_names(), metavar="NAME", default=None)
    options, rest = parser.parse_known_args()
    if options.factor is None and not {"-h", "--help"} & set(rest):
        parser.error(f"--factor is missing: choose from {', '.join(factor_names())}")
    factor = options.factor or "width"
    description = f"{__doc__}\n--factor NAME is one of {', '.join(factor_names())}; the further options for {factor}:"
    main(load_factor(factor), description, search="bisect", arguments=rest)
