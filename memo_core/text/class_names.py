"""The names of classes in prompts: those of known data sets, else the names of their folders."""

from memo_core.data.sources import open_source
from memo_core.errors import MemosweepError

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""By the folders of Imagenette, which are WordNet identifiers; the paper's words (Appendix G)."""


def class_names(dataset: str) -> tuple[str, ...]:
    """Return the names of the classes of a data set, in the order of their numbers.

    Raises:
        MemosweepError: its classes have numbers alone, or it has none.
    """
    known = {"digits": _DIGITS, "cifar10": _CIFAR10}.get(dataset)
    if known is not None:
        return known
    source = open_source(dataset)
    source.check_labels("text.prompt = class")
    if not source.class_folders:
        raise MemosweepError(
            f"text.prompt = class: the classes of {source.name} have numbers, not names; put each class into a folder "
            "of its name, or give a caption for each image (text.captions)"
        )
    return tuple(_IMAGENETTE.get(name, name.replace("_", " ").strip()) for name in source.class_folders)
