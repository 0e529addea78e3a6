"""Normal quantiles and p-values."""

from collections.abc import Sequence

from scipy import special

CONFIDENCE = 0.95
"""Of every interval that tables, figures and verdicts print."""


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """Return the two-sided quantile of the normal distribution: 1.96 at 0.95."""
    return float(special.ndtri(0.5 + confidence / 2))


def two_sided_p(z: float) -> float:
    """Return the probability of a normal deviate at least as far from 0."""
    return float(2 * special.ndtr(-abs(z)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for several tests (Holm 1979): reject where the answer is below the level."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415 (half a second to import)

    return [float(p) for p in multipletests(p_values, method="holm")[1]]
