"""What a sweep says at its end."""

import pandas as pd

from sweeps.engine.manifest import Manifest
from sweeps.engine.outcome import findings


def frame(key: str, rows: list[tuple[object, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "experiment": "run",
                "trial_id": str(index),
                "status": "terminated",
                "epoch": 1.0,
                "seed": 0,
                "data.size": size,
                key: value,
                "memorization_ratio": ratio,
                "memorization_ratio_low": ratio,
                "memorization_ratio_high": ratio,
                "num_samples": 100,
            }
            for index, (value, size, ratio) in enumerate(rows)
        ]
    )


def manifest(key: str, title: str) -> Manifest:
    return Manifest(
        factor="width",
        key=key,
        title=title,
        scale="linear",
        preset="laptop",
        moved=[key],
        trials=[],
        resources={},
        max_failures=0,
        search="grid",
        search_settings={},
        command=[],
        started="",
        hardware="",
        versions={},
        git_commit=None,
    )


def test_a_line_per_size_with_the_ratio_of_each_value() -> None:
    runs = frame("model.width", [(8, 10, 0.5), (16, 10, 0.9), (8, 20, 0.25)])
    assert findings(runs, manifest("model.width", "Width")) == [
        "|D| = 10  memorization ratio by width  8: 50.0%  16: 90.0%",
        "|D| = 20  memorization ratio by width  8: 25.0%",
    ]


def test_one_line_where_the_size_itself_is_studied() -> None:
    runs = frame("data.size", [(8, 8, 0.9), (1000, 1000, 0.1)])
    assert findings(runs, manifest("data.size", "Data size |D|")) == [
        "memorization ratio by |D|  8: 90.0%  1,000: 10.0%"
    ]
