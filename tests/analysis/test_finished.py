import pandas as pd

from analysis.tables import best, finished


def table(*statuses):
    rows = [
        {"experiment": "run", "trial_id": str(index), "status": status, "memorization_ratio": 0.1 * index}
        for index, status in enumerate(statuses)
    ]
    return pd.DataFrame(rows)


def test_half_trained_trials_are_left_out():
    frame = finished(table("terminated", "interrupted", "terminated", "running", "error"))
    assert frame["trial_id"].tolist() == ["0", "2"]


def test_before_any_trial_ended_all_are_kept():
    assert len(finished(table("running", "interrupted"))) == 2
    assert len(finished(table("running").drop(columns="status"))) == 1


def test_shares_have_their_best_at_the_top_and_distances_at_the_bottom():
    frame = pd.concat([table("terminated")] * 2, ignore_index=True)
    frame["coverage"], frame["knn_distance"] = [0.2, 0.6], [5.0, 3.0]
    assert best(frame, "coverage")["coverage"].tolist() == [0.6]
    assert best(frame, "knn_distance")["knn_distance"].tolist() == [3.0]
