"""Size of the training set: Fig. 1c (4,000 epochs) and Fig. 1d (40,000 epochs).

The paper finds that the ratio falls as |D| grows and rises with the epochs: with EDM's own procedure, 16% at 2k
and 0% from 20k on after 4,000 epochs; with ten times the epochs, 92% at 1k and 9% at 5k.

    python sweeps/data_size.py                     # laptop: digits, 5 trials, about 3 minutes on 2 cores
    python sweeps/data_size.py --preset paper      # CIFAR-10, 10 trials; 1c alone: --figure 1c
"""

from memo_core.experiment.presets import LAPTOP, PAPER, PAPER_EDM
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study

FACTOR = Factor(
    name="data_size",
    key="data.size",
    paper=(
        Study("1c", PAPER_EDM, values=(2000, 5000, 10_000, 20_000, 50_000), settings={"training.epochs": 4000}),
        Study("1d", PAPER, values=(1000, 2000, 3000, 4000, 5000)),
    ),
    laptop=(Study("1d", LAPTOP, values=(8, 12, 16, 24, 40), settings={"evaluation.count": 5}),),
    search_range=SearchRange(log=True),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
