"""One look for all figures: colour-blind safe, readable in print and on a dark page."""

import seaborn as sns
from matplotlib.figure import Figure

PALETTE = "colorblind"
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")


def new_figure(width: float = 6.4, height: float = 4.2) -> Figure:
    """A figure on white, whatever the page, that no window system has to know of."""
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        figure.add_subplot()
    return figure
