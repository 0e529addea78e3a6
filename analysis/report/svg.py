"""Matplotlib figures as SVG inside an HTML page: unique ids, the page's font, and colors that follow its theme."""

import io
import re
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

_THEME = {
    # Seaborn's and matplotlib's grays, as variables that the page's style sheet sets for light, dark and print.
    "#ffffff": "var(--figure-paper)",
    "#262626": "var(--figure-ink)",
    "#000000": "var(--figure-ink)",
    "#cccccc": "var(--figure-line)",
    "#b0b0b0": "var(--figure-line)",
    "#808080": "var(--figure-soft)",
    "#595959": "var(--figure-soft)",
    # The color-blind safe palette, lighter on dark.
    "#0173b2": "var(--curve-blue)",
    "#de8f05": "var(--curve-orange)",
    "#029e73": "var(--curve-green)",
    "#d55e00": "var(--curve-red)",
    "#cc78bc": "var(--curve-purple)",
    "#ca9161": "var(--curve-brown)",
    "#fbafe4": "var(--curve-pink)",
    "#949494": "var(--curve-gray)",
}


def inline_svg(figure: Figure, prefix: str, label: str) -> str:
    """Draw a figure as an `<svg>` element.

    Args:
        figure: without a window system.
        prefix: makes ids unique in the page; letters and digits.
        label: the alternative text, escaped by this function.

    Returns:
        The element, which fetches nothing and scales with its container.
    """
    stream = io.StringIO()
    # Text stays text (searchable, small); the salt makes equal figures equal bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "memosweep"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return embed(stream.getvalue(), prefix, label)


def embed(svg: str, prefix: str, label: str) -> str:
    """Make a stand-alone SVG document an element of a page; see `inline_svg`."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s+xmlns(:\w+)?=\"[^\"]*\"", "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r"(\sid=\")", rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"(href=\"#|url\(#)", rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"(font(?:-family)?: [^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1var(--sans)", svg)
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda match: _THEME.get(match.group(), match.group()), svg)
    opening, _, rest = svg.partition(">")
    opening = re.sub(r"\s(width|height|version)=\"[^\"]*\"", "", opening)
    return f'{opening} role="img" aria-label="{escape(label)}">{_compact(rest)}'


def _compact(svg: str) -> str:
    """Hundredths of a point are enough: halves the size of curves with many points."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    # Only in attributes: a tick that says 0.001 is text.
    svg = re.sub(r'"[^"<>]*"', lambda match: re.sub(r"(\d+\.\d{2})\d+", r"\1", match.group()), svg)
    return re.sub(r"\n\s*", "\n", svg)
