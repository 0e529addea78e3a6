import csv
import io
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memo_core.measure import distance_ratio, measure_memorization, most_certain, pairs_csv
from memo_core.measure.pairs import PAIR_COLUMNS, short_names


def flat_images(*values):
    return torch.stack([torch.full((1, 2, 2), value, dtype=torch.uint8) for value in values])


GRAY_VALUES = st.lists(st.integers(0, 255), min_size=2, max_size=12)


def rows_of(result, samples, names):
    return list(csv.DictReader(io.StringIO(pairs_csv(result, samples, names))))


def test_a_row_holds_both_distances_their_ratio_and_the_decision():
    result = measure_memorization(flat_images(20, 60), flat_images(0, 100))
    first, second = rows_of(result, ["s, 0", "s, 1"], ["black", "white"])
    assert first == {
        "sample": "s, 0",
        "nearest_image": "black",
        "nearest_distance": "20.0",
        "second_distance": "80.0",
        "distance_ratio": "0.25",
        "calibrated_distance": "0.8",
        "memorized": "true",
    }
    assert (second["nearest_image"], second["memorized"]) == ("white", "false")
    assert tuple(first) == PAIR_COLUMNS


def test_a_sample_that_equals_two_training_images_has_no_ratio_and_is_no_replica():
    result = measure_memorization(flat_images(7, 90), flat_images(7, 7, 100))
    row = rows_of(result, "ab", "xyz")[0]
    assert (row["nearest_distance"], row["second_distance"], row["distance_ratio"]) == ("0.0", "0.0", "")
    assert row["memorized"] == "false"
    assert math.isnan(distance_ratio(result)[0])
    assert most_certain(result).tolist() == [1, 0]


@given(GRAY_VALUES, st.lists(st.integers(0, 255), min_size=1, max_size=20))
def test_the_rows_agree_with_the_measurement(training, generated):
    result = measure_memorization(flat_images(*generated), flat_images(*training))
    rows = rows_of(result, [f"s{i}" for i in range(len(generated))], [f"t{i}" for i in range(len(training))])
    assert [row["sample"] for row in rows] == [f"s{i}" for i in range(len(generated))]
    assert [row["memorized"] == "true" for row in rows] == result.memorized.tolist()
    assert [float(row["nearest_distance"]) for row in rows] == result.nearest_distance.tolist()
    assert [float(row["second_distance"]) for row in rows] == result.second_distance.tolist()
    assert [float(row["calibrated_distance"]) for row in rows] == result.calibrated.tolist()
    for row, value in zip(rows, generated, strict=True):
        assert abs(training[int(row["nearest_image"][1:])] - value) == float(row["nearest_distance"])


@given(GRAY_VALUES, st.lists(st.integers(0, 255), min_size=1, max_size=20), st.randoms())
def test_a_permuted_training_set_gives_the_same_replicas_by_name(training, generated, random):
    order = random.sample(range(len(training)), len(training))
    names = [f"t{i}" for i in range(len(training))]
    samples = [str(i) for i in range(len(generated))]
    one = rows_of(measure_memorization(flat_images(*generated), flat_images(*training)), samples, names)
    permuted = measure_memorization(flat_images(*generated), flat_images(*(training[i] for i in order)))
    other = rows_of(permuted, samples, [names[i] for i in order])
    for row, again in zip(one, other, strict=True):
        assert row["distance_ratio"] == again["distance_ratio"]
        # Only a tie may have another nearest image, and a tie is no replica.
        if row["memorized"] == "true":
            assert row == again


@given(GRAY_VALUES, st.lists(st.integers(0, 255), min_size=1, max_size=20))
def test_memorized_samples_are_the_most_certain_ones(training, generated):
    result = measure_memorization(flat_images(*generated), flat_images(*training))
    memorized = result.memorized[most_certain(result)].tolist()
    assert memorized == sorted(memorized, reverse=True)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a.zip: 00000/x1.png", "a.zip: 00000/x2.png"], ["x1.png", "x2.png"]),
        (["a.zip: 00000/x1.png", "a.zip: 00001/x2.png"], ["00000/x1.png", "00001/x2.png"]),
        (["digits, image 5", "digits, image 57"], ["image 5", "image 57"]),
        (["digits, image 5"], ["image 5"]),
        (["a/"], ["a/"]),
        (["x", "y"], ["x", "y"]),
        (["one\nline\x1b[2J", "two"], ["one?line?[2J", "two"]),
    ],
)
def test_names_are_shortened_by_what_all_share(names, short):
    assert short_names(names) == short


def test_what_cannot_be_printed_in_a_name_is_escaped():
    result = measure_memorization(flat_images(20), flat_images(0, 100))
    text = pairs_csv(result, ["a\x1b[2J\n"], ["b\r", "c"])
    assert text.splitlines()[1].startswith("a\\x1b[2J\\n,b\\r,")
    assert len(text.splitlines()) == 2
