"""Skip connections kept or removed, at |D| = 1k: Fig. 4 (DDPM++ and NCSN++) and Fig. 8 (DDPM++).

The paper finds that one connection at the highest resolution keeps the ratio of all nine, and that those at low
resolution do not; NCSN++ memorizes about 45% where DDPM++ exceeds 90%.

    python sweeps/skip_connections.py                 # laptop: digits, 11 trials, about 6 minutes on 2 cores
    python sweeps/skip_connections.py --preset paper  # CIFAR-10, 78 trials; one figure alone: --figure 4a
"""

from memo_core.experiment.presets import LAPTOP_LONG, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study
from sweeps.engine.plans.skip_masks import deleted_at_one_resolution, kept_at_one_resolution, random_kept, single_kept

NCSNPP = {"model.architecture": "ncsnpp", "model.preconditioning": "ve", "model.time_embedding": "fourier"}
ALL = (1,) * 9

FACTOR = Factor(
    name="skip_connections",
    key="model.skip_connections",
    paper=(
        Study("4a", PAPER, kept_at_one_resolution(3, 3), sizes=(1000,)),
        Study("4b", PAPER, single_kept(9), sizes=(1000,)),
        Study("4c", PAPER, (ALL, *kept_at_one_resolution(3, 3)), sizes=(1000,), settings=NCSNPP),
        Study("4d", PAPER, single_kept(9), sizes=(1000,), settings=NCSNPP),
        Study("8a", PAPER, random_kept(9, counts=(1, 3, 5, 7, 8, 9), combinations=5), sizes=(1000,)),
        Study("8b", PAPER, deleted_at_one_resolution(3, 3), sizes=(1000,)),
    ),
    laptop=(
        Study("4b", LAPTOP_LONG, ((1,) * 6, *single_kept(6)), sizes=(10,)),
        Study(
            "4c",
            LAPTOP_LONG,
            ((1,) * 6, (1, 1, 0, 0, 0, 0), (0, 0, 1, 1, 0, 0), (0, 0, 0, 0, 1, 1)),
            sizes=(10,),
            settings=NCSNPP,
        ),
    ),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
