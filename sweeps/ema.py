"""Decay of the exponential moving average of the weights: Table 2 (right), with Tables 6 and 8.

The paper finds that it matters for FID, and little for memorization: 90% to 92% at |D| = 1k from 0 to 0.99929.

    python sweeps/ema.py                           # laptop: digits, 10 trials of 2 trainings, about a minute on 2 cores
    python sweeps/ema.py --preset paper            # CIFAR-10, 14 trials of 2 trainings
"""

from memo_core.experiment.presets import LAPTOP, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study

FACTOR = Factor(
    name="ema",
    key="training.ema_decay",
    paper=(Study("Table 2", PAPER, values=(0.99929, 0.999, 0.99, 0.9, 0.5, 0.1, 0.0), sizes=(1000, 2000)),),
    laptop=(Study("Table 2", LAPTOP, values=(0.99, 0.98, 0.9, 0.5, 0.0), sizes=(10, 20)),),
    search_range=SearchRange(log=True, complement=True),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
