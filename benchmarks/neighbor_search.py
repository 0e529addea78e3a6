"""The search for nearest training images against what else finds them, side by side and interleaved.

    python -m benchmarks.neighbor_search                                   # 2,000 of the paper's 10,000 samples
    python -m benchmarks.neighbor_search --queries 10000 --training 50000 --side 32 --threads 1

Prints one JSON object: CPU seconds of each (of all threads together, so that other programs do not count), and their
ratios to the bare float32 product of the two sets and to `torch.cdist` + `topk`, round by round. The images are smooth
random ones, and half of the queries near copies of training images.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from memo_core.errors import MemosweepError
from memo_core.measure.faiss_search import faiss_neighbors, neighbor_search
from memo_core.measure.nearest import nearest_neighbors
from memo_core.measure.products import Float32Products, Int8Products

Run = Callable[[], object]

_BLOCK = 2048


def draw_images(count: int, channels: int, side: int, generator: torch.Generator) -> Tensor:
    """Images of smooth colors under some noise, (N, C, H, W) uint8."""
    coarse = torch.randn(count, channels, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    noise = torch.randn(smooth.shape, generator=generator)
    return (128 + 55 * smooth + 12 * noise).clamp(0, 255).to(torch.uint8)


def draw_sets(queries: int, training: int, channels: int, side: int) -> tuple[Tensor, Tensor]:
    """Queries, every second one a noisy copy of a training image, and training images."""
    generator = torch.Generator().manual_seed(0)
    known = torch.cat([draw_images(min(1000, training - start), channels, side, generator)
                       for start in range(0, training, 1000)])  # fmt: skip
    asked = draw_images(queries, channels, side, generator)
    copies = known[: len(asked[::2])]
    asked[: 2 * len(copies) : 2] = copies ^ torch.randint(0, 8, copies.shape, generator=generator).to(torch.uint8)
    return asked, known


def runs(queries: Tensor, training: Tensor) -> dict[str, Run]:
    """The searches to compare, for the two nearest and for the 50 that a measure takes."""
    a, b = queries.flatten(1).float(), training.flatten(1).float()

    def blocks(run: Callable[[Tensor], object]) -> None:
        for part in torch.split(a, _BLOCK):
            run(part)

    def cdist(k: int) -> Run:
        return lambda: blocks(lambda part: torch.cdist(part, b).topk(k, largest=False))

    def ours(k: int) -> Run:
        return lambda: nearest_neighbors(queries, training, k)

    found: dict[str, Run] = {
        "bare product": lambda: blocks(lambda part: part @ b.T),
        "cdist + topk, 2": cdist(2),
        "cdist + topk, 50": cdist(50),
        "ours, 2": ours(2),
        "ours, 50": ours(50),
        "ours in float32, 50": lambda: nearest_neighbors(queries, training, 50, Float32Products()),
        "ours in int8, 50": lambda: nearest_neighbors(queries, training, 50, Int8Products()),
    }
    try:
        neighbor_search("faiss")
        import faiss  # noqa: PLC0415
    except MemosweepError:
        return found
    index = faiss.IndexFlatL2(b.shape[1])
    index.add(b.cpu().numpy())
    host = a.cpu().numpy()
    found["faiss flat, 2"] = lambda: index.search(host, 2)
    found["faiss flat, 50"] = lambda: index.search(host, 50)
    found["ours with faiss, 50"] = lambda: faiss_neighbors(queries, training, 50)
    return found


def measure(searches: dict[str, Run], rounds: int) -> dict[str, dict[str, float]]:
    """Median CPU seconds, and the ratios to the bare product and of cdist + topk with as many neighbors."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(rounds):
        for name, run in searches.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    result: dict[str, dict[str, float]] = {}
    for name, values in times.items():
        cdist = times["cdist + topk, 2" if name.endswith(" 2") else "cdist + topk, 50"]
        over_bare = [own / bare for own, bare in zip(values, times["bare product"], strict=True)]
        gain = [other / own for other, own in zip(cdist, values, strict=True)]
        result[name] = {
            "cpu_seconds": statistics.median(values),
            "over_bare_product": statistics.median(over_bare),
            "over_bare_product_low": min(over_bare),
            "over_bare_product_high": max(over_bare),
            "cdist_over_this": statistics.median(gain),
            "cdist_over_this_low": min(gain),
            "cdist_over_this_high": max(gain),
        }
    return result


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--training", type=int, default=50_000)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    queries, training = draw_sets(options.queries, options.training, options.channels, options.side)
    print(json.dumps({**vars(options), **measure(runs(queries, training), options.rounds)}, indent=1))


if __name__ == "__main__":
    main()
