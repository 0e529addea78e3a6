"""The order in which training images are drawn: one order in cycles, reshuffled each epoch, or with replacement.

Every published run walks one order in cycles, most other training loops reshuffle; the paper does not compare them.
Training seeds scatter as much as the orders may differ, so each is trained with three.

    python sweeps/image_order.py                   # laptop: digits, 9 trials, about 10 minutes on 2 cores
    python sweeps/image_order.py --preset paper    # CIFAR-10 at |D| = 2k, 9 trials of 40,000 epochs
"""

from memo_core.experiment.presets import LAPTOP_LONG, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study

VALUES = ("cyclic", "reshuffled", "replacement")
SEEDS = {"seed": (0, 1, 2)}
LAPTOP_SETTINGS = {"evaluation.count": 1, "evaluation.num_samples": 1000}

FACTOR = Factor(
    name="image_order",
    key="training.order",
    # Sizes at which the ratio is near neither 0 nor 1, where a difference would show.
    paper=(Study("order", PAPER, VALUES, sizes=(2000,), grid=SEEDS),),
    laptop=(Study("order", LAPTOP_LONG, VALUES, sizes=(64,), settings=LAPTOP_SETTINGS, grid=SEEDS),),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
