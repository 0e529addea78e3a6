"""Data dimension: Fig. 2a (CIFAR-10) and Fig. 11a (FFHQ).

The paper finds that fewer pixels are memorized more: an EMM of about 1k at 32 x 32, slightly above 4k at 16 x 16
and about 8k at 8 x 8. Images are made smaller by averaging areas.

    python sweeps/resolution.py                    # laptop: CIFAR-10 (downloaded once, 170 MB) at 16 and 8 pixels,
                                                   # 4 trials, about 6 minutes on 2 cores
    python sweeps/resolution.py --preset paper     # CIFAR-10 and FFHQ, 36 trials; CIFAR-10 alone: --figure 2a
"""

from memo_core.experiment.presets import LAPTOP, PAPER, PAPER_FFHQ
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study

FACTOR = Factor(
    name="resolution",
    key="data.resolution",
    paper=(
        Study("2a", PAPER, values=(32, 16, 8), sizes=(500, 1000, 2000, 4000, 8000, 16_000)),
        Study("11a", PAPER_FFHQ, values=(64, 32, 16), sizes=(500, 1000, 2000, 4000, 8000, 12_000)),
    ),
    # The digits are 8 x 8 already, and smaller ones are too alike for the 1/3 rule.
    laptop=(Study("2a", LAPTOP, values=(16, 8), sizes=(10, 20), settings={"data.dataset": "cifar10"}),),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
