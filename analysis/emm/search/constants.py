"""The constants of the search: what each is, and what a larger value trades.

Distances are in logits of the memorization ratio or in ln(size); published slopes are 2.7 to 3.9 logits per unit of
ln(size).
"""

Z95 = 1.959964
"""Two-sided 95% quantile of the standard normal distribution."""

# --- When a trial stops early, and what a training is evidence of.

STOP_ABOVE = 3.0
"""Logits above the target from which a trial is stopped: a ratio of 0.9945 for a target of 0.9. Lower saves more of
each training, but a lower bound says less than the final ratio, so that the search needs more trainings: it costs 2.1
EMMs at 1.5, and 1.9 at 3 as well as without early stops."""
STOP_CONFIDENCE = 0.99
"""Probability that a trial that was stopped above the target would have ended above it. Higher stops fewer trials."""
MAX_EVIDENCE_LOGIT = 20.0
"""Logits beyond are rounding: no number of samples distinguishes them."""

# --- What is assumed of a curve (`prior`).

SLOPE_GRID = ((0.2, 1.5, 8), (1.5, 6.0, 20), (6.0, 80.0, 10))
"""Lowest and highest slope of each part of the grid, and its slopes, even in ln(slope): fine where published slopes
lie, coarse out to a near-flat curve and to a cliff. More is slower."""
UNUSUAL_SPREAD = 1.2
"""Spread of ln(slope) of curves that contradict the usual slopes: anything from flat to a cliff."""
UNUSUAL_SHARE = 0.1
"""Share of the prior on such curves, since a narrow prior would shift the crossing of an odd curve. Higher needs more
trainings of usual curves."""
SEED_SPREADS = ((0.5, 1.0, 2.0), (0.3, 0.6, 0.1))
"""Possible spreads of training seeds, as factors on the expected one, and their weights."""
COMMON_SLOPES = 25
"""Candidates for the common slope of all values, within three spreads of the expected one. More is slower."""
LIKELIHOOD_FLOOR = 1e-3
"""Least relative likelihood of a slope from the trainings of one value, so that an odd curve does not rule out all
usual slopes. Higher learns less from the other values."""

# --- Whether the model is accepted (`fit`).

CONTRADICTED = 0.003
"""p value of the misfit below which the usual slope is given up. Higher gives up good models by chance more often."""
DOUBTFUL = 0.15
"""p value below which a training nearer to the target is requested. Higher costs a training more often."""
UNSUSPICIOUS = 0.05
"""p value that a model of unusual slope, which no prior supports, must reach. Higher leaves more to bisection."""
NEAR = 1.5
"""Logits from the target within which a size must have been run before the model is accepted: ratios 0.67 to 0.976
around 0.9. Farther off the crossing would rest on the shape of the curve alone. Higher is cheaper and covers less."""
NEAR_IN_DOUBT = 0.6
"""The same where the misfit is `DOUBTFUL`."""
SATURATED = 4.7
"""Logits above the target where a ratio says nothing of the slope: 0.999 for a target of 0.9. Lower is safer against
cliffs and costs more on steep curves."""
LOOSE_MISFIT = 0.12
"""Least deviation from the model, as a share of the distance to the target, where the usual slope is in doubt. Higher
widens those intervals."""
LOOSE_SPREAD = 1.4
"""Factor on the spread of training seeds where the usual slope is in doubt. Higher widens those intervals."""
END_MARGIN = 0.1
"""Share of a bracket, in ln(size), that the estimate stays away from its ends: a cliff may lie anywhere between."""

# --- Which size is trained next (`planner`).

FIRST_SIZE = 0.25
"""Where the first training lies between the limits, in ln(size): a size that bisection may train, too. Higher says
more of large EMMs and costs more where the EMM is small."""
LEAP = 1.5
"""Factor above the size that the crossing surely exceeds up to which the model may choose. Higher needs fewer
trainings and overshoots more."""
STRIDE = 4.0
"""Largest factor above a success, and factor on `LEAP` while another training is under way."""
STEP = 2.0
"""Least factor between the sizes of a bisection that steps upwards. With 2, a bracket of the usual tolerance needs two
more trainings; with more, a failure costs more."""
INNER = 0.2
"""Share of a bracket, in ln(size), by which a size on a model of unusual slope stays away from the ends, so that the
bracket shrinks at least so much."""
SETTLED = 8.0
"""Widths of the interval, in tolerances, below which a training under way is waited for. Higher uses fewer slots."""
APART = 0.15
"""Share of the crossing's uncertainty (68%) by which trainings under way must differ. Higher uses fewer slots."""

# --- How the expected cost of a size is computed (`acquisition`).

NODES = 240
"""Curves drawn from the posterior. More is slower."""
FANTASIES = 10
"""Results of the next training that are averaged over. More is slower."""
PENDING_FANTASIES = 6
"""Results of the trainings under way that are averaged over. More is slower."""
NOISE_QUANTILES = (0.3, -0.9, 0.9, -0.3, 1.4, -1.4)
"""Noise of successive fantasies, in standard deviations: of alternating sign, so that few of them cover it evenly."""
MAX_LOGIT = 12.0
"""Logits beyond are cut off, since their noise from counting overflows."""
MIN_DISTANCE = -14.0
"""Logits below the target that are cut off."""
TRAININGS_LEFT = 0.75
"""Expected trainings until the interval is narrow enough, where it is slightly too wide. Higher tends to sizes near the
crossing, although they are large."""
TRAININGS_PER_EXCESS = 0.35
"""Further trainings for each unit of ln(width over tolerance). Higher, too, tends to sizes near the crossing."""
SOFT_TRAININGS = 0.5
"""Trainings that are expected where the interval is only just narrow enough, falling to 0 over `SOFT_WIDTH`."""
SOFT_WIDTH = 0.25
"""ln(tolerance over width) from which no further training is expected."""
CANDIDATES = 20
"""Sizes compared over the range of the crossing. More is slower."""
CANDIDATES_NEAR = 11
"""Further sizes compared within `NEAR_MEDIAN` of the crossing's median, in ln(size). More is slower."""
NEAR_MEDIAN = 0.25
"""See `CANDIDATES_NEAR`."""
CANDIDATES_BELOW = 1.2
"""ln(size) below the crossing's interval down to which sizes are compared: small trainings are cheap."""
CANDIDATES_ABOVE = 0.2
"""ln(size) above the crossing's interval up to which sizes are compared: large trainings are expensive."""
