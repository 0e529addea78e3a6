"""The part on the search for nearest training images."""

import torch

from benchmarks.neighbor_search import draw_sets, runs
from benchmarks.speed.comparison import Contender, Part, Row, compare
from benchmarks.speed.machine import Machine, Sizes
from memo_core.measure.products import Int8Products, choose_products

_BARE = "bare product"
_WITHOUT_FAISS = "faiss is not installed: pip install 'memosweep[faiss-cpu]'"


def measure_neighbors(machine: Machine, sizes: Sizes) -> Part:
    """Compare searches for the 2 nearest, and for the 50 that a measure takes."""
    queries, training = (images.to(machine.device) for images in draw_sets(*sizes.neighbors))
    searches = runs(queries, training)
    features = training[0].numel()
    gflop = 2 * len(queries) * len(training) * features / 1e9
    chosen = "int8" if isinstance(choose_products(machine.device, features), Int8Products) else "float32"
    rows: list[Row] = []
    for count in (2, 50):
        ending = f", {count}"
        names = [_BARE, *(name for name in searches if name.endswith(ending))]
        contenders = [
            Contender(name.removesuffix(ending), searches[name], gflop, _peak(name, chosen), note=_note(name, chosen))
            for name in names
        ]
        group = f"{count} nearest of {len(queries):,} among {len(training):,}, {features:,} values"
        rows += compare(group, contenders, "ours", machine)
        if not any("faiss" in name for name in names):
            rows.append(Row(group, "faiss flat", note=_WITHOUT_FAISS))
    if machine.has_gpu:
        torch.cuda.empty_cache()
    return Part("Search for nearest training images", "ours", rows)


def _peak(name: str, chosen: str) -> str:
    if name.startswith("ours in int8"):
        return "int8"
    return chosen if name.startswith("ours,") else "float32"


def _note(name: str, chosen: str) -> str:
    return f"{chosen} products were the faster ones" if name.startswith("ours,") else ""
