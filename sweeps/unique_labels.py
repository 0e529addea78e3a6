"""A label for each image of a large training set: Fig. 5c and 20c, all 50,000 images of CIFAR-10.

The paper finds over 65% within 12,000 epochs, where the unconditional model stays at 0%. Both are trained with
EDM preconditioning, 4 blocks and EDM's learning rate. The labels are looked up: no one-hot of 50,000 is made.

    python sweeps/unique_labels.py                 # laptop: digits at |D| = 128, 2 trials, about 4 minutes
    python sweeps/unique_labels.py --preset paper  # CIFAR-10 at |D| = 50k, 2 trials
"""

from memo_core.experiment.presets import LAPTOP, PAPER_EDM
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study

VALUES = ("none", "unique")
# The figure is over training.
LONG = {"training.images": 48_000, "training.warmup_epochs": 10, "evaluation.count": 6}

FACTOR = Factor(
    name="unique_labels",
    key="data.labels",
    paper=(Study("5c", PAPER_EDM, VALUES, sizes=(50_000,), settings={"training.epochs": 12_000}),),
    laptop=(Study("5c", LAPTOP, VALUES, sizes=(128,), settings=LONG),),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
