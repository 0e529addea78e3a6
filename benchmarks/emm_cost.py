"""What finding an EMM costs, and whether its error bar is honest.

    python -m benchmarks.emm_cost                      published, synthetic and unfriendly curves
    python -m benchmarks.emm_cost --curves FILE.csv    anybody's curves (columns curve, size, ratio)

Trainings are simulated: the true ratio at the proposed size, changed by the spread of training seeds (in
logits, `--seed-spread`, 0 for none) and by the counting of 10,000 samples; see `benchmarks.trainings.Noise`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.curves import Curve, read_curves
from benchmarks.emm_tables import to_markdown, write_results
from benchmarks.replay import Replay, plain_bisection, replay
from benchmarks.suites import run_suites
from benchmarks.trainings import Noise
from memo_core.terminal import Parser


def measure_curve(
    curve: Curve,
    target: float,
    tolerance: float,
    replays: int,
    rng: np.random.Generator,
    *,
    limits: tuple[int, int] | None = None,
    noise: Noise | None = None,
) -> dict[str, float | None]:
    """Replays one curve, searched on its own, without early stops.

    Args:
        curve: the true ratio.
        target: 1 - zeta.
        tolerance: relative half-width of the interval.
        replays: searches to average over.
        rng: of the noise.
        limits: sizes that may be trained, within the curve's range.
        noise: of a training.

    Returns:
        emm_true (None where the curve does not cross the target within the limits), median_error (relative;
        None without emm_true), coverage (of the 95% interval; without emm_true, the share of replays that
        report the right bound), mean_trainings, cost_in_emms and bisection_cost_in_emms (mean images
        trained over emm_true; without it, over the limit that the curve leaves by).
    """
    limits = limits or curve.limits
    truth = curve.emm(target, *limits)
    results = [replay(curve, target, tolerance, rng, limits=limits, noise=noise).estimate for _ in range(replays)]
    plain = [plain_bisection(curve, target, tolerance, rng, limits=limits, noise=noise)[0] for _ in range(replays)]
    above = curve.ratio(limits[1]) >= target
    if truth is None:
        unit, error = float(limits[1] if above else limits[0]), None
        right = "lower_bound" if above else "upper_bound"
        covered = [r.kind == right for r in results]
    else:
        unit = truth
        error = float(np.median([abs(r.emm / truth - 1) for r in results]))
        covered = [r.low <= truth <= r.high for r in results]
    return {
        "emm_true": truth,
        "median_error": error,
        "coverage": float(np.mean(covered)),
        "mean_trainings": float(np.mean([r.trainings for r in results])),
        "cost_in_emms": float(np.mean([r.images_trained for r in results])) / unit,
        "bisection_cost_in_emms": float(np.mean(plain)) / unit,
    }


def limits_of(curve: Curve, min_size: int | None, max_size: int | None) -> tuple[int, int]:
    """The sizes that may be trained: the curve's range, cut to the limits asked for.

    Raises:
        ValueError: limits beyond the curve, or nothing left between them.
    """
    low, high = curve.limits
    for name, size in (("min size", min_size), ("max size", max_size)):
        if size is not None and not low <= size <= high:
            raise ValueError(f"{name} {size} lies outside curve {curve.name!r}, which covers {low}..{high}")
    low, high = min_size or low, max_size or high
    if low > high:
        raise ValueError(f"curve {curve.name!r} holds no whole size between {low} and {high}")
    return low, high


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks.emm_cost", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument(
        "--curves",
        help="CSV file with the columns curve, size, ratio (true ones in 0..1, joined linearly in ln size)",
    )
    parser.add_argument("--target", type=float, default=0.9, help="1 - zeta (default 0.9)")
    parser.add_argument("--tolerance", type=float, default=0.1, help="relative half-width (default 0.1)")
    parser.add_argument("--replays", type=int, default=None, help="per curve (default 200; 1000 for the whole)")
    parser.add_argument("--min-size", type=int, help="smallest size to train (default: the curve's)")
    parser.add_argument("--max-size", type=int, help="largest size to train (default: the curve's)")
    parser.add_argument("--seed-spread", type=float, default=Noise().seed_spread, help="between seeds, in logits")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated noise")
    parser.add_argument("--write", action="store_true", help="write the numbers to docs/emm-benchmark.md")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _check(arguments: argparse.Namespace) -> None:
    if not 0 < arguments.target < 1:
        raise ValueError(f"target {arguments.target} is not in (0, 1): 0.9 means zeta = 0.1")
    if not (np.isfinite(arguments.tolerance) and arguments.tolerance > 0):
        raise ValueError(f"tolerance {arguments.tolerance} must be positive: 0.1 asks for +-10%")
    if arguments.replays is not None and arguments.replays < 1:
        raise ValueError(f"replays {arguments.replays} must be at least 1")
    if not (np.isfinite(arguments.seed_spread) and arguments.seed_spread >= 0):
        raise ValueError(f"seed spread {arguments.seed_spread} must be zero or positive")
    if arguments.write and arguments.curves is not None:
        raise ValueError("--write keeps the suites' numbers: it does not go with --curves")
    if arguments.seed < 0:
        raise ValueError(f"seed {arguments.seed} must not be negative")
    for name in ("min_size", "max_size"):
        size = getattr(arguments, name)
        if size is not None and size < 1:
            raise ValueError(f"{name.replace('_', ' ')} {size} must be at least 1")
        if size is not None and arguments.curves is None:
            raise ValueError(f"{name.replace('_', ' ')} {size} goes with --curves: the suites have their own sizes")
    if arguments.min_size and arguments.max_size and arguments.min_size > arguments.max_size:
        raise ValueError(f"min size {arguments.min_size} is above max size {arguments.max_size}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        _check(given)
        noise = Noise(seed_spread=given.seed_spread)
        if given.curves is None:
            suites = run_suites(given.target, given.tolerance, given.replays or 1000, given.seed, noise)
            print(json.dumps(suites, indent=2, allow_nan=False) if given.json else to_markdown(suites))
            if given.write:
                write_results(suites)
            return 0
        curves = read_curves(given.curves)
        limits = [limits_of(curve, given.min_size, given.max_size) for curve in curves]
        rows: dict[str, Any] = {}
        for index, (curve, bounds) in enumerate(zip(curves, limits, strict=True)):
            rng = np.random.default_rng([given.seed, index])
            rows[curve.name] = measure_curve(
                curve, given.target, given.tolerance, given.replays or 200, rng, limits=bounds, noise=noise
            )
    except ValueError as error:
        print(f"emm_cost: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(json.dumps(rows, indent=2, allow_nan=False) if given.json else to_markdown({"curves": rows}))
    return 0


__all__ = ["Replay", "main", "measure_curve"]

if __name__ == "__main__":
    sys.exit(main())
