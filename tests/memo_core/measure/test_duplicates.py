import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memo_core.measure import exact_duplicates, find_duplicates, measure_memorization, nearest_neighbors


def random_images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(40, 216, (count, 3, 8, 8), generator=generator).to(torch.uint8)


def marked(mask):
    return mask.nonzero().flatten().tolist()


def test_different_images_have_no_duplicates():
    found = find_duplicates(random_images(100))
    assert found.summary() == {"exact_duplicates": 0, "near_duplicates": 0}


def test_exact_copies_are_found_however_many_there_are():
    images = random_images(40)
    images[[3, 17]] = images[8].clone()
    images[20:35] = images[36].clone()
    found = find_duplicates(images)
    assert marked(found.exact) == marked(found.near) == [3, 8, 17, *range(20, 35), 36]


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_near_copies_are_found_up_to_five(copies):
    images = random_images(40)
    for copy in range(copies):
        images[10 + copy] = images[2]
        images[10 + copy, 0, 0, copy] += 9
    found = find_duplicates(images)
    assert marked(found.near) == [2, *range(10, 10 + copies)]
    assert marked(found.exact) == []


def test_they_are_the_images_whose_replicas_the_criterion_misses():
    images = random_images(40)
    images[7] = images[5]
    images[11] = images[9]
    images[11, 0, 0, :3] += 3
    found = find_duplicates(images)
    replicas = images.clone()
    replicas[:, 2, 7, 7] += 4
    missed = ~measure_memorization(replicas, images).memorized
    assert marked(missed) == marked(found.near) == [5, 7, 9, 11]


def test_the_threshold_is_the_criterions():
    # Of three images at 0, 40 and 100, the middle one is 40 and 60 away from the others.
    images = torch.stack([torch.full((1, 2, 2), value, dtype=torch.uint8) for value in (0, 40, 100)])
    assert marked(find_duplicates(images, 1 / 3).near) == []
    assert marked(find_duplicates(images, 0.5).near) == [0]
    assert marked(find_duplicates(images, 0.7).near) == [0, 1, 2]


def test_two_images_are_duplicates_only_if_they_are_equal():
    images = random_images(2)
    assert marked(find_duplicates(images).near) == []
    images[1] = images[0]
    assert marked(find_duplicates(images).near) == [0, 1]


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30))
def test_hashes_find_what_distances_find(kinds):
    images = random_images(4)[kinds]
    second = nearest_neighbors(images, images, 2).squared_distances[:, 1]
    assert torch.equal(exact_duplicates(images), second == 0)


def test_replicas_of_exact_duplicates_cannot_count():
    images = random_images(6)
    images[4] = images[1]
    assert torch.equal(measure_memorization(images, images).memorized, ~exact_duplicates(images))


def test_one_image_has_no_duplicate_and_repeated_channels_are_no_obstacle():
    assert exact_duplicates(random_images(1)).tolist() == [False]
    gray = random_images(3)[:, :1]
    gray[2] = gray[0]
    assert exact_duplicates(gray.expand(-1, 3, -1, -1)).tolist() == [True, False, True]
