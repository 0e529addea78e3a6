"""Batch size, with the learning rate in proportion: Table 1, with FIDs and kNN distances in Tables 5 and 7.

The paper finds a slightly higher ratio with larger batches: 89.5% at 128 to 92.8% at 896 for |D| = 1k.

    python sweeps/batch_size.py                    # laptop: digits, 6 trials, about 5 minutes on 2 cores
    python sweeps/batch_size.py --preset paper     # CIFAR-10, 14 trials
"""

from memo_core.experiment.presets import LAPTOP, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study, scaled_learning_rate

FACTOR = Factor(
    name="batch_size",
    key="training.batch_size",
    paper=(Study("Table 1", PAPER, values=tuple(range(128, 897, 128)), sizes=(1000, 2000)),),
    laptop=(Study("Table 1", LAPTOP, values=(16, 24, 32), sizes=(10, 20)),),
    dependent=scaled_learning_rate,
    search_range=SearchRange(log=True),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
