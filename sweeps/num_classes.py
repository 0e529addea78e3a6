"""Number of classes, equal shares of each: Fig. 2b.

The paper finds a slightly lower EMM with more classes, nearly the same for 5 and 10. Fewer classes are a part of
more: which ones is drawn from `data.seed`.

    python sweeps/num_classes.py                   # laptop: CIFAR-10 (downloaded once, 170 MB) at 8 pixels,
                                                   # 12 trials (3 subsets each), about 4 minutes on 2 cores
    python sweeps/num_classes.py --preset paper    # CIFAR-10, 12 trials
"""

from memo_core.experiment.presets import LAPTOP_CIFAR, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study

VALUES = (1, 2, 5, 10)

FACTOR = Factor(
    name="num_classes",
    key="data.classes",
    paper=(Study("2b", PAPER, VALUES, sizes=(500, 1000, 2000)),),
    laptop=(Study("2b", LAPTOP_CIFAR, VALUES, sizes=(30,), grid={"data.seed": (0, 1, 2)}),),
    search_range=SearchRange(),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
