"""Depth of the network, its residual blocks per resolution: Fig. 3b, 7b, 7d and 7f.

The paper finds no steady effect: EMM rises from 2 to 6 blocks and falls beyond; at width 256 the ratio has
several peaks.

    python sweeps/depth.py                         # laptop: digits, 6 trials, about 6 minutes on 2 cores
    python sweeps/depth.py --preset paper          # CIFAR-10, 41 trials; over sizes alone: --figure 3b
"""

from memo_core.experiment.presets import LAPTOP_LONG, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study

FACTOR = Factor(
    name="depth",
    key="model.depth",
    paper=(
        Study("3b", PAPER, values=(2, 4, 6, 8, 10, 12), sizes=(500, 1000, 1500, 2000, 2500, 3000)),
        Study("7b", PAPER, values=(2, 4, 6, 8, 10), sizes=(2000,), grid={"model.width": (128, 256)}),
    ),
    laptop=(Study("3b", LAPTOP_LONG, values=(1, 2, 4), sizes=(20, 40)),),
    search_range=SearchRange(),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
