"""Memory of the neighbor search and of the optimum at CIFAR-10's size, above the data itself.

python -m benchmarks.evaluation_memory            # 10,000 samples against 50,000 images of 3,072 values
"""

import argparse
import json
import resource
import time

import torch

from memo_core.measure import measure_memorization
from memo_core.model.optimum import OptimalDenoiser


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print one JSON object: GiB above the data, seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--training", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    training = torch.randint(0, 256, (options.training, 3, 32, 32), generator=generator, dtype=torch.uint8)
    samples = torch.randint(0, 256, (options.samples, 3, 32, 32), generator=generator, dtype=torch.uint8)
    before, start = _peak_gib(), time.perf_counter()
    measure_memorization(samples, training)
    search, seconds = _peak_gib() - before, time.perf_counter() - start
    optimum = OptimalDenoiser(training)
    optimum(torch.randn(256, 3, 32, 32), torch.ones(256))
    print(
        json.dumps(
            {
                "samples": options.samples,
                "training": options.training,
                "neighbor_search_gib": round(search, 3),
                "neighbor_search_seconds": round(seconds, 1),
                "optimum_gib": round(_peak_gib() - before, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
