"""Width of the network, its channel multiplier: Fig. 3a, 7a, 7c and 7e.

The paper finds that EMM rises steadily with width: about 5k at width 320, four times that of width 128.

    python sweeps/width.py                         # laptop: digits, 6 trials, about 3 minutes on 2 cores
    python sweeps/width.py --preset paper          # CIFAR-10, 35 trials; over sizes alone: --figure 3a
"""

from memo_core.experiment.presets import LAPTOP, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study

FACTOR = Factor(
    name="width",
    key="model.width",
    paper=(
        Study("3a", PAPER, values=(128, 192, 256, 320), sizes=(500, 1000, 2000, 3000, 4000, 5000)),
        Study("7a", PAPER, values=(64, 96, 128, 160, 192, 224, 256), sizes=(2000,), grid={"model.depth": (2, 4)}),
    ),
    laptop=(Study("3a", LAPTOP, values=(4, 8, 16), sizes=(10, 20)),),
    search_range=SearchRange(log=True),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
