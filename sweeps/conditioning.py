"""Conditioning on labels: Fig. 5a, Fig. 9, Table 4 (CIFAR-10) and Fig. 11d (FFHQ).

The paper finds that true and random labels raise memorization alike, and that a label for each image makes it
nearly complete: 99.7% at |D| = 5k, where the unconditional model has 9%.

    python sweeps/conditioning.py                  # laptop: digits, 8 trials, about 4 minutes on 2 cores
    python sweeps/conditioning.py --preset paper   # CIFAR-10 and FFHQ, 32 trials; CIFAR-10: --figure 5a 9
"""

from memo_core.experiment.presets import LAPTOP, PAPER, PAPER_FFHQ
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study

SIZES = (1000, 2000, 3000, 4000, 5000)

FACTOR = Factor(
    name="conditioning",
    key="data.labels",
    paper=(
        Study("5a", PAPER, values=("none", "true", "random"), sizes=SIZES),
        Study("9", PAPER, values=("none", "true", "unique"), sizes=SIZES),
        Study("11d", PAPER_FFHQ, values=("none", "unique"), sizes=(500, *SIZES)),
    ),
    laptop=(Study("5a", LAPTOP, values=("none", "true", "random", "unique"), sizes=(20, 40)),),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
