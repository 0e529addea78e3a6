"""Number C of random labels: Fig. 5b (CIFAR-10, |D| = 5k) and Fig. 11c (FFHQ, |D| = 2k).

The paper finds that uninformative labels trigger memorization: from about 10% at C = 1 to over 90% at C = 1k.

    python sweeps/random_labels.py                 # laptop: digits, 6 trials, about 3 minutes on 2 cores
    python sweeps/random_labels.py --preset paper  # CIFAR-10 and FFHQ, 16 trials; CIFAR-10 alone: --figure 5b
"""

from memo_core.experiment.presets import LAPTOP, PAPER, PAPER_FFHQ
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study

RANDOM = {"data.labels": "random"}

FACTOR = Factor(
    name="random_labels",
    key="data.num_labels",
    paper=(
        Study("5b", PAPER, values=(1, 2, 5, 10, 20, 50, 100, 500, 1000), sizes=(5000,), settings=RANDOM),
        Study("11c", PAPER_FFHQ, values=(1, 10, 50, 100, 200, 400, 2000), sizes=(2000,), settings=RANDOM),
    ),
    laptop=(Study("5b", LAPTOP, values=(1, 2, 5, 10, 20, 40), sizes=(40,), settings=RANDOM),),
    search_range=SearchRange(log=True),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
