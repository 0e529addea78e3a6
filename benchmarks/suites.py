"""The curves of the full EMM benchmark, and what is reported of each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from analysis.emm.search.trainings import Proposal
from benchmarks.curves import Curve, from_function, logistic, published, published_ratios, unfriendly
from benchmarks.emm_tables import Row
from benchmarks.replay import Replay, plain_bisection, replay, replay_factor
from benchmarks.trainings import GROWTHS, Growth, Noise, train_with_rules

PAPER_GRID = (500, 1000, 2000, 3000, 4000, 5000)  # width 128 in Fig. 3a: 15.5k images
LOW, HIGH = 100, 50_000


def _unit(curve: Curve, truth: float | None, target: float) -> float:
    """What costs are measured in: the EMM, or the limit that the curve leaves by."""
    if truth is not None:
        return truth
    return float(curve.limits[1] if curve.ratios[-1] >= target else curve.limits[0])


def summarize(replays: list[Replay], truths: list[float | None], curves: list[Curve], target: float) -> Row:
    """Average over replays of curves, each with its own truth; see `emm_cost.measure_curve`."""
    errors, covered, costs = [], [], []
    for done, truth, curve in zip(replays, truths, curves, strict=True):
        estimate = done.estimate
        if truth is None:
            above = curve.ratios[-1] >= target
            covered.append(estimate.kind == ("lower_bound" if above else "upper_bound"))
        else:
            errors.append(abs(estimate.emm / truth - 1))
            covered.append(estimate.low <= truth <= estimate.high)
        costs.append(estimate.images_trained / _unit(curve, truth, target))
    return {
        "replays": len(replays),
        "median_error": float(np.median(errors)) if errors else None,
        "error_95": float(np.quantile(errors, 0.95)) if errors else None,
        "coverage": float(np.mean(covered)),
        "mean_trainings": float(np.mean([r.estimate.trainings for r in replays])),
        "mean_rounds": float(np.mean([r.rounds for r in replays])),
        "cost_in_emms": float(np.mean(costs)),
        "images": float(np.mean([r.estimate.images_trained for r in replays])),
    }


def drawn_logistic(rng: np.random.Generator, target: float) -> Curve:
    """A logistic curve with slope 2..4 and EMM 300..15,000 (uniform in its logarithm)."""
    emm = float(np.exp(rng.uniform(np.log(300), np.log(15_000))))
    return logistic("logistic", emm, float(rng.uniform(2, 4)), target, low=LOW, high=HIGH)


def run_suite(
    draw: Callable[[np.random.Generator], Curve],
    target: float,
    tolerance: float,
    replays: int,
    rng: np.random.Generator,
    *,
    noise: Noise,
    slots: int = 1,
    early: bool = False,
) -> Row:
    """Replays curves from `draw` and adds the plain bisection's cost and the error rate of early stops."""
    curves = [draw(rng) for _ in range(replays)]
    truths = [curve.emm(target, *curve.limits) for curve in curves]
    done = [replay(curve, target, tolerance, rng, noise=noise, slots=slots, early_stops=early) for curve in curves]
    row = summarize(done, truths, curves, target)
    plain = [plain_bisection(curve, target, tolerance, rng, noise=noise)[0] for curve in curves]
    units = [_unit(c, t, target) for c, t in zip(curves, truths, strict=True)]
    row["bisection_cost_in_emms"] = float(np.mean(np.array(plain) / np.array(units)))
    row["paper_grid_cost_in_emms"] = float(np.mean(sum(PAPER_GRID) / np.array(units)))
    row["cost_over_bisection"] = float(np.mean([d.estimate.images_trained for d in done]) / np.mean(plain))
    if early:
        stops = sum(d.early_stops for d in done)
        row["early_stops"] = stops
        row["false_stop_rate"] = sum(d.false_stops for d in done) / stops if stops else None
    return row


def early_stops(growth: Growth, target: float, runs: int, rng: np.random.Generator) -> Row:
    """Replay trainings whose final logit is uniform in -2..9 by the rules of a trial.

    Returns:
        runs; stopped_early (share that was stopped), budget_saved (share of their budget), false_stop_rate (share of
        those stops that would have ended below the target).
    """
    stopped, false, saved = 0, 0, 0.0
    for _ in range(runs):
        ratio = float(special.expit(rng.uniform(-2, 9)))
        curve = Curve("flat", np.array([1.0, 2.0]), np.array([ratio, ratio]))
        noise = Noise(seed_spread=0, growth=growth)
        training, final = train_with_rules(curve, Proposal(0, None, 1, 0, 10_000), noise, rng, target)
        if training.stopped_early:
            stopped, false, saved = stopped + 1, false + (final < target), saved + 1 - training.fraction
    return {
        "runs": runs,
        "stopped_early": stopped / runs,
        "budget_saved": saved / stopped if stopped else None,
        "false_stop_rate": false / stopped if stopped else None,
    }


def somewhere(formula: Callable[[float, np.random.Generator], Curve]) -> Callable[[np.random.Generator], Curve]:
    """Draw a curve by its EMM, which lies between 300 and 15,000, uniform in its logarithm."""
    return lambda rng: formula(float(np.exp(rng.uniform(np.log(300), np.log(15_000)))), rng)


def cliff(above: float, below: float) -> Callable[[np.random.Generator], Curve]:
    """Draw a cliff from one ratio to another, at any size."""

    def formula(emm: float, _: np.random.Generator) -> Curve:
        return from_function("cliff", lambda n: np.where(n < emm, above, below), LOW, HIGH)

    return somewhere(formula)


def run_factors(
    values: int,
    slots: int,
    target: float,
    tolerance: float,
    replays: int,
    *,
    rng: np.random.Generator,
    noise: Noise,
) -> Row:
    """Searches `values` curves of one factor at once: EMMs differ, slopes are alike (spread of 10%).

    `mean_rounds` is that of the whole factor.
    """
    curves: list[Curve] = []
    done: list[Replay] = []
    for _ in range(max(1, replays // values)):
        slope = rng.uniform(2, 4)
        drawn = [
            logistic(
                "value",
                float(np.exp(rng.uniform(np.log(300), np.log(15_000)))),
                float(slope * np.exp(0.1 * rng.standard_normal())),
                target,
                low=LOW,
                high=HIGH,
            )
            for _ in range(values)
        ]
        curves += drawn
        done += replay_factor(drawn, target, tolerance, rng, noise=noise, slots=slots)
    return summarize(done, [c.emm(target, *c.limits) for c in curves], curves, target)


def run_suites(target: float, tolerance: float, replays: int, seed: int, noise: Noise) -> dict[str, Any]:
    """All suites: {suite: {curves: numbers}}."""
    streams = iter(np.random.default_rng(seed).spawn(200))

    def suite(draw: Callable[[np.random.Generator], Curve], **options: Any) -> Row:
        return run_suite(draw, target, tolerance, replays, next(streams), **{"noise": noise, **options})

    def one_of(curves: Sequence[Curve]) -> Callable[[np.random.Generator], Curve]:
        return lambda rng: curves[int(rng.integers(len(curves)))]

    def line(rng: np.random.Generator) -> Curve:
        return drawn_logistic(rng, target)

    def steep(emm: float, rng: np.random.Generator) -> Curve:
        return logistic("steep", emm, float(rng.uniform(6, 12)), target, low=LOW, high=HIGH)

    logistics = {
        f"slopes 2 to 4, {slots} slot{'s' if slots > 1 else ''}": suite(line, slots=slots) for slots in (1, 4, 16)
    }
    for growth in GROWTHS:
        logistics[f"slopes 2 to 4, early stops, {growth} growth"] = suite(
            line, early=True, noise=replace(noise, growth=growth)
        )
    for slope in (2.0, 3.0, 4.0):
        curve = logistic(f"slope {slope:g}", 1100, slope, target, low=LOW, high=HIGH)
        logistics[f"slope {slope:g}, EMM 1,100"] = suite(one_of([curve]))
    factors = {
        f"8 values, {slots} slot{'s' if slots > 1 else ''}": run_factors(
            8, slots, target, tolerance, replays, rng=next(streams), noise=noise
        )
        for slots in (1, 4, 16)
    }
    tables = {c.name: c for c in published(LOW, HIGH)}
    groups = {
        "Table 1": [n for n in tables if n.startswith("batch_size")],
        "Table 2, weight decay up to 0.01": [f"weight_decay={v}" for v in (0.0, 1e-05, 0.0001, 0.001, 0.01)],
        "Table 2, weight decay 0.05 and 0.1": ["weight_decay=0.05", "weight_decay=0.1"],
        "Table 4, none and true labels": ["labels=none", "labels=true"],
        "Table 4, unique labels": ["labels=unique"],
    }
    return {
        "early stops": {f"{growth} growth": early_stops(growth, target, replays, next(streams)) for growth in GROWTHS},
        "logistic": logistics,
        "factors": factors,
        "published": {g: suite(one_of([tables[n] for n in names])) for g, names in groups.items()}
        | {f"Table 4, {c.name}, ratios joined": suite(one_of([c])) for c in published_ratios()},
        "cliffs and steep curves anywhere": {
            "cliff 1 to 0": suite(cliff(1.0, 0.0)),
            "cliff 0.99 to 0.01": suite(cliff(0.99, 0.01)),
            "cliff 0.93 to 0.01": suite(cliff(0.93, 0.01)),
            "slopes 6 to 12": suite(somewhere(steep)),
        },
        "unfriendly": {name: suite(one_of([curve])) for name, curve in unfriendly(LOW, HIGH).items()},
    }
