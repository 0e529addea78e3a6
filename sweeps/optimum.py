"""The closed-form optimal denoiser: Fig. 1a and Appendix A (eq. 2 and 32; per class eq. 61).

The paper proves that its samples are training images, with the ODE and with the SDE: a ratio of 100%. Nothing is
trained here; `evaluation.sampler` varies, without labels and with true ones.

    python sweeps/optimum.py                       # laptop: digits, 8 evaluations, seconds each
    python sweeps/optimum.py --preset paper        # CIFAR-10 at |D| = 1k and 50k, 10,000 samples
"""

from memo_core.experiment.presets import LAPTOP, PAPER
from sweeps.engine.command import main
from sweeps.engine.plans.factor import Factor, Study

VALUES = ("ode", "sde")
OPTIMUM = {"model.architecture": "optimum"}
GRID = {"data.labels": ("none", "true")}

FACTOR = Factor(
    name="optimum",
    key="evaluation.sampler",
    paper=(Study("1a", PAPER, VALUES, sizes=(1000, 50_000), settings=OPTIMUM, grid=GRID),),
    laptop=(Study("1a", LAPTOP, VALUES, sizes=(100, 1000), settings=OPTIMUM, grid=GRID),),
)

if __name__ == "__main__":
    main(FACTOR, __doc__)
