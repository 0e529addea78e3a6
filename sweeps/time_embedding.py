"""Time embedding, positional or random Fourier features: Fig. 3c (CIFAR-10) and Fig. 11b (FFHQ).

The paper finds that Fourier features lower the ratio of DDPM++ clearly. So they do on digits, with the paper's VP
preconditioning: its network receives the time in steps of 1000, which the features (of scale 16) scramble. With EDM's,
the logarithm of sigma, there is no effect (--set model.preconditioning=edm).

    python sweeps/time_embedding.py                # laptop: digits, 8 trials, about 6 minutes on 2 cores
    python sweeps/time_embedding.py --preset paper # CIFAR-10 and FFHQ, 18 trials; CIFAR-10 alone: --figure 3c
"""

from memo_core.experiment.presets import LAPTOP_LONG, PAPER, PAPER_FFHQ
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study

VALUES = ("positional", "fourier")
VP = {"model.preconditioning": "vp"}

FACTOR = Factor(
    name="time_embedding",
    key="model.time_embedding",
    paper=(
        Study("3c", PAPER, VALUES, sizes=(500, 1000, 2000), grid={"model.depth": (2, 4)}),
        Study("11b", PAPER_FFHQ, VALUES, sizes=(500, 1000, 2000)),
    ),
    laptop=(Study("3c", LAPTOP_LONG, VALUES, sizes=(10, 20), settings=VP, grid={"model.depth": (1, 2)}),),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
