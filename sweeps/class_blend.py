"""Intra-class diversity, the share alpha of a second source blended in: Fig. 2c.

The paper blends ImageNet's dogs (123 sub-classes, 32 x 32) into CIFAR-10's dogs, class 5, and finds a slightly
lower EMM with more of them. On the laptop the dogs are blended with CIFAR-10's other classes.

    python sweeps/class_blend.py                   # laptop: CIFAR-10 (downloaded once, 170 MB) at 8 pixels,
                                                   # 10 trials, about 4 minutes on 2 cores
    python sweeps/class_blend.py --preset paper    # 15 trials; wants imagenet-dogs-32x32.zip (EDM format) here,
                                                   # or --set data.blend_dataset=PATH
"""

from memo_core.experiment.presets import LAPTOP_CIFAR, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, SearchRange, Study

VALUES = (0.0, 0.2, 0.5, 0.8, 1.0)
DOGS = {"data.classes": (5,), "data.blend_dataset": "imagenet-dogs-32x32.zip"}
OTHERS = {"data.classes": (5,), "data.blend_dataset": "cifar10", "data.blend_classes": (0, 1, 2, 3, 4, 6, 7, 8, 9)}

FACTOR = Factor(
    name="class_blend",
    key="data.blend_ratio",
    paper=(Study("2c", PAPER, VALUES, sizes=(500, 1000, 2000), settings=DOGS),),
    laptop=(Study("2c", LAPTOP_CIFAR, VALUES, sizes=(20, 30), settings=OTHERS),),
    search_range=SearchRange(),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
