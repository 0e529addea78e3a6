"""What an EMM may be used for: the same five kinds in the search, in tables and in figures."""

from typing import Literal

Kind = Literal["measured", "uncertain", "lower_bound", "upper_bound", "extrapolated"]
KINDS: dict[Kind, str] = {
    "measured": "the ratio crosses 1 - zeta between two of the sizes run",
    "uncertain": "the ratio crosses 1 - zeta between two of the sizes run, but within noise it may do so beyond them",
    "lower_bound": "even the largest size run reaches 1 - zeta: the EMM is at least this",
    "upper_bound": "not even the smallest size run reaches 1 - zeta: the EMM is below this",
    "extrapolated": "where the fitted curve crosses 1 - zeta, beyond the sizes run",
}
"""What each kind means."""

ROOM = 0.1
"""Share of a size by which an interval may reach beyond the sizes run: there the curve differs little."""


def crossing_kind(
    low: float, high: float, sizes: tuple[float, float], room: float = ROOM
) -> Literal["measured", "uncertain"]:
    """Return the kind of a crossing between sizes run.

    Args:
        low, high: its interval, in images; 0 and infinity where it is open.
        sizes: the smallest and the largest size run.
        room: share of a size by which the interval may reach beyond them.
    """
    inside = sizes[0] <= low * (1 + room) and high <= sizes[1] * (1 + room)
    return "measured" if inside else "uncertain"
