import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from memo_core.experiment import ModelConfig
from memo_core.model import build_denoiser
from memo_core.sampling.room import bytes_per_image, fitting_batch_size, free_bytes

PEAK = """
import json
import torch
from memo_core.experiment import ModelConfig
from memo_core.model import build_denoiser
from memo_core.sampling import generate
from memo_core.sampling.room import bytes_per_image
from tests.peak_memory import peak_bytes

torch.set_num_threads(1)
network = build_denoiser(ModelConfig(width=32, depth=1, channel_multipliers=(1, 1)), 32, 1, 0)
estimate = bytes_per_image(network)
generate(network, range(4), 2)
before = peak_bytes()
generate(network, range(128), 2, 128)
print(json.dumps([estimate, (peak_bytes() - before) / 128]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in other units")
def test_the_estimate_is_near_the_peak_of_a_process_and_rather_above_it():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    estimate, measured = json.loads(done.stdout)
    assert 0.8 * measured < estimate < 5 * measured


def network(**settings):
    return build_denoiser(ModelConfig(depth=1, channel_multipliers=(2, 2), **settings), 8, 1, 0)


def test_wider_networks_take_more_memory_for_each_image():
    assert 1.7 < bytes_per_image(network(width=32)) / bytes_per_image(network(width=16)) < 2.1


def test_what_does_not_grow_with_the_batch_does_not_count():
    # bfloat16 keeps all weights in another format, which are many more values than those of a few images.
    assert bytes_per_image(build_denoiser(ModelConfig(width=32), 8, 1, 0, precision="bfloat16")) < bytes_per_image(
        build_denoiser(ModelConfig(width=32), 8, 1, 0)
    )


@pytest.mark.parametrize(("images", "fitting"), [(1000, 500), (499, 250), (3, 2), (0.1, 1)])
def test_a_batch_is_halved_until_half_of_the_free_memory_holds_it(monkeypatch, images, fitting):
    denoiser = network(width=8)
    free = int(2 * images * bytes_per_image(denoiser))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=free))
    assert free_bytes(torch.device("cpu")) == free
    assert fitting_batch_size(denoiser, 500) == fitting
    assert fitting_batch_size(denoiser, 3) == 3


def test_free_memory_of_a_gpu_is_what_the_driver_and_the_allocator_have_left(monkeypatch):
    def segment(total, allocated, device=0, pool=(0, 0)):
        return {"device": device, "total_size": total, "allocated_size": allocated, "segment_pool_id": pool}

    segments = [segment(100, 30), segment(50, 50), segment(400, 0, device=1), segment(1000, 0, pool=(0, 1))]
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (7000, 9000))
    monkeypatch.setattr("torch.cuda.memory_snapshot", lambda: segments)
    # Another GPU's, and what belongs to a captured graph, are not free.
    assert free_bytes(torch.device("cuda", 0)) == 7070


def test_few_images_are_drawn_where_not_even_the_measurement_fits(monkeypatch):
    def exhausted(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB")

    monkeypatch.setattr("memo_core.sampling.room.bytes_per_image", exhausted)
    assert fitting_batch_size(network(width=8), 500) == 4
