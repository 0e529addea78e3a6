"""Weight decay: Table 2 (left), with its FIDs and kNN distances in Tables 6 and 8.

The paper finds little effect up to 1e-3, and a collapse of memorization from 1e-2 on: at |D| = 1k from 92%
to 14% at 5e-2, at |D| = 2k from 61% to 36% already at 1e-2. Weight decay is L2 added to the gradient.

    python sweeps/weight_decay.py                    # laptop: digits at 8x8, 14 trials, under 8 minutes on 2 cores
    python sweeps/weight_decay.py --preset paper     # CIFAR-10, 14 trials of 40,000 epochs: 2 to 4 A100 days each
"""

from memo_core.experiment.presets import LAPTOP, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study

VALUES = (0, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 1e-1)

FACTOR = Factor(
    name="weight_decay",
    key="training.weight_decay",
    paper=(Study("Table 2", PAPER, VALUES, sizes=(1000, 2000)),),
    laptop=(Study("Table 2", LAPTOP, VALUES, sizes=(10, 20)),),
    search_range=SearchRange(1e-6, 1e-1, log=True),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
