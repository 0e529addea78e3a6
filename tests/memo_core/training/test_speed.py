import json
import subprocess
import sys

import pytest

from memo_core.experiment import Experiment
from memo_core.experiment.presets import PAPER, with_settings
from memo_core.training.speed import forward_flops, image_shape, measure_speed, num_labels


def test_the_arithmetic_of_the_papers_network_is_counted():
    # 25.4 GFLOP, forward, of an image of 32 pixels.
    assert forward_flops(Experiment.from_flat(PAPER)) == pytest.approx(25.4e9, rel=0.01)


def test_images_and_labels_are_those_of_the_experiment(tiny):
    assert image_shape(Experiment.from_flat(tiny)) == (1, 8, 8)
    assert image_shape(Experiment.from_flat(with_settings(PAPER, {"data.resolution": 16}))) == (3, 16, 16)
    for labels, expected in (("none", 0), ("true", 10), ("random", 7), ("unique", 10)):
        settings = {**tiny, "data.labels": labels, "data.num_labels": 7}
        assert num_labels(Experiment.from_flat(settings)) == expected


def test_a_device_is_measured_within_the_time_and_with_the_whole_batch(tiny):
    waited = []
    experiment = Experiment.from_flat({**tiny, "data.labels": "true"})
    speed = measure_speed(experiment, "cpu", 0.2, lambda: waited.append(True))
    assert waited == [True]
    assert speed.batch_size == 16
    assert speed.images_per_second > 1
    assert speed.samples_per_second > 1
    assert speed.memory is None


def test_a_process_of_its_own_waits_for_the_others(tiny):
    request = {"experiment": tiny, "device": "cpu", "threads": 1, "seconds": 0.1}
    with subprocess.Popen(
        [sys.executable, "-m", "memo_core.training.speed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdin.write(f"{json.dumps(request)}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["images_per_second"] > 1
